"""Short names of our agents and models, and the import paths that saved .opt files hold."""

import importlib
from argparse import Action
from pathlib import Path

from parlai.core.build_data import modelzoo_path
from parlai.core.loader import _name_to_agent_class
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError

SHORT_NAME = "p2bot"
SHIPPED = (
    "shipped are zoo:p2bot/smollm2/model, zoo:p2bot/smollm2/supervised, "
    "zoo:p2bot/smollm2/receiver, zoo:p2bot/sketch/model and zoo:p2bot/sketch/receiver"
)
NAMES = Path(__file__).parents[1] / "plugin" / "names"


def register_names() -> None:
    """Let parlai.agents, parlai.tasks and parlai.zoo find our names too. Imports nothing heavy."""
    for kind in ("agents", "tasks", "zoo"):
        path = importlib.import_module(f"parlai.{kind}").__path__
        folder = str(NAMES / kind)
        if folder not in path:
            path.append(folder)


def zoo_path(datapath: str | None, name: str | None, flag: str) -> str | None:
    """
    The path of a model that an option names; ParlAI resolves ``zoo:`` for ``--model-file`` alone,
    and late for ``--init-model``.

    :raises P2botError: for a name that the zoo does not have.
    """
    try:
        path = modelzoo_path(datapath, name)
    except ImportError as error:
        raise P2botError(f"{flag}: {no_model(name)}") from error
    if path != name and not PathManager.exists(path):
        raise P2botError(f"{flag}: {no_model(path)}")
    return path


def no_model(path: str | None) -> str:
    """What to say of a ``zoo:`` name or a path, which may be that of one, with no model there."""
    _, of_zoo, name = str(path).rpartition(f"/models/{SHORT_NAME}/")
    if of_zoo:
        path = f"zoo:{SHORT_NAME}/{name}"
    if str(path).startswith("zoo:"):
        return f"there is no model {path}; {SHIPPED}"
    return f"there is no model at {path}"


def full_model_path(name: str) -> str:
    """'p2bot/transmitter' -> 'p2bot_parlai.agents.transmitter:TransmitterAgent'.

    Names that are not ours are returned as they are.
    """
    if name != SHORT_NAME and not name.startswith(SHORT_NAME + "/"):
        return name
    module = name.removeprefix(SHORT_NAME + "/")
    return f"p2bot_parlai.agents.{module}:{_name_to_agent_class(module)}"


def set_model_type(parser) -> None:
    """Make `parser` (or the parser of this argument group) read `--model` as a full path.

    Then opts hold the full path from the moment they are parsed, and so do saved .opt files and
    spawned processes: the model loads wherever p2bot_parlai can be imported, without the plug-in.
    Call it in an agent's add_cmdline_args.
    """
    # Parsers and their groups share this table; argparse offers no public way to look up an option.
    action: Action | None = parser._option_string_actions.get("--model")
    if action is not None:
        action.type = full_model_path
