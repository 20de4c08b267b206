"""Short names of our agents, and the import paths that saved .opt files hold."""

import importlib
from argparse import Action
from pathlib import Path

from parlai.core.loader import _name_to_agent_class

SHORT_NAME = "p2bot"
NAMES = Path(__file__).parents[1] / "plugin" / "names"


def register_names() -> None:
    """Let parlai.agents, parlai.tasks and parlai.zoo find our names too. Imports nothing heavy."""
    for kind in ("agents", "tasks", "zoo"):
        path = importlib.import_module(f"parlai.{kind}").__path__
        folder = str(NAMES / kind)
        if folder not in path:
            path.append(folder)


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
