"""
What ParlAI does with a model's .opt before any agent of ours reads a byte.

Its options name the agent's class by import path, and ParlAI calls whatever stands there with
the options: ``subprocess:getoutput`` would run the first of their keys in a shell. A file that
is no UTF-8 it unpickles. `install` puts checks before both; SECURITY.md says what they promise.
"""

import io
import pickle
import sys

from parlai.core import agents, params
from parlai.core.agents import Agent
from parlai.core.build_data import modelzoo_path
from parlai.core.loader import AGENT_REGISTRY, REGISTERED_REPOS, load_agent_module
from parlai.core.opt import __AUTOCLEAN_KEYS__, Opt
from parlai.scripts import vacuum
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.parlai_support.files import parse_json
from p2bot_parlai.parlai_support.saved_options import checked
from p2bot_parlai.parlai_support.shims import _replace

# packages whose agents an .opt may name; -m NAME on the command line may name any
HOMES = ("parlai", "projects", "p2bot_parlai", *(r["repo"] for r in REGISTERED_REPOS.values()))

OURS = "p2bot_parlai."

_stock_model_name = params.get_model_name
_stock_create = agents.create_agent_from_opt_file
_stock_vacuum = vacuum.Vacuum.run


def install() -> None:
    """Check an .opt before ParlAI believes it. May be called again."""
    Opt.load = classmethod(load_opt)
    _replace(params, "get_model_name", get_model_name)
    _replace(agents, "create_agent_from_opt_file", create_agent_from_opt_file)
    vacuum.Vacuum.run = run_vacuum


# ------------------------------------------------------------------- the file as such
class PlainUnpickler(pickle.Unpickler):
    """Dictionaries, lists, texts and numbers: nothing that has to be imported, so no code."""

    def find_class(self, module: str, name: str):
        raise pickle.UnpicklingError(f"{module}.{name}")


def load_opt(cls, optfile: str) -> Opt:
    """
    ``Opt.load``, which reads JSON, and plain pickled data as ParlAI wrote before 2019.

    :raises P2botError: for a pickle that holds more than plain data, and for a damaged file.
    """
    with PathManager.open(optfile, "rb") as file:
        content = file.read()
    try:
        options = parse_json(content)
    except UnicodeDecodeError:
        options = _unpickled(content, optfile)
    except ValueError as error:
        raise P2botError(
            f"{optfile} is no file of options: it is damaged or no JSON ({error})"
        ) from error
    if not isinstance(options, dict):
        raise P2botError(f"{optfile} is no file of options: it holds a {type(options).__name__}")
    return cls({k: v for k, v in options.items() if k not in __AUTOCLEAN_KEYS__})


def _unpickled(content: bytes, optfile: str):
    try:
        return PlainUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # damaged pickles end in every kind of exception
        raise P2botError(
            f"{optfile} is no JSON, and as a pickle it is damaged or holds objects that would "
            f"run code ({error}): it is refused. Use the .opt that train_model wrote"
        ) from error


# ------------------------------------------------------------------ the agent it names
def get_model_name(opt: Opt) -> str | None:
    """ParlAI's, which looks into the .opt where the user named no agent."""
    name = _stock_model_name(opt)
    if name is not None and opt.get("model") is None:
        check_agent(name, f"{modelzoo_path(opt.get('datapath'), opt['model_file'])}.opt")
    return name


def create_agent_from_opt_file(opt: Opt) -> Agent | None:
    """ParlAI's, once the agent is known to be one."""
    named = (opt.get("override") or {}).get("model")
    kind = load_agent_module(named) if named else agent_class(opt["model_file"])
    optfile = f"{opt['model_file']}.opt"
    if kind is None or not kind.__module__.startswith(OURS) or not PathManager.exists(optfile):
        return _stock_create(opt)
    saved = Opt({**Opt.load(optfile), **(opt.get("override") or {})})
    return _stock_create(Opt({**checked(saved, kind, optfile), **opt}))


def agent_class(model_file: str) -> type[Agent] | None:
    """
    The class that the .opt of a model names, or None where there is no .opt.

    :raises P2botError: where it may not be believed, see `check_agent`.
    """
    optfile = f"{model_file}.opt"
    if not PathManager.exists(optfile):
        return None
    return check_agent(Opt.load(optfile).get("model"), optfile)


def check_agent(name, optfile: str) -> type[Agent]:
    """
    The agent's class.

    :raises P2botError: where the module is foreign and was not imported by anybody yet, or where
        what it holds under this name is no agent.
    """
    if not isinstance(name, str) or not name:
        raise P2botError(f"{optfile} names no agent: it is damaged, or of no model")
    if not _is_known(name):
        raise P2botError(
            f"{optfile} names the agent {name}, of a package that is neither ParlAI's nor ours: it "
            f"is not imported on a file's word. If you trust it add -m {name}"
        )
    try:
        found = load_agent_module(name)
    except (ModuleNotFoundError, AttributeError, IndexError) as error:
        raise P2botError(
            f"{optfile} names the agent {name}, which cannot be imported: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise P2botError(f"{optfile} names {name} as its agent, which is none: it is refused")
    return found


def _is_known(name: str) -> bool:
    """Short names mean packages of ParlAI's; see `parlai.core.loader.load_agent_module`."""
    if name in AGENT_REGISTRY or ":" not in name:
        return True
    if name.startswith(("projects:", *REGISTERED_REPOS)):
        return True
    module = name.split(":")[0]
    return module.split(".")[0] in HOMES or module in sys.modules


# ------------------------------------------------------------------------ parlai vacuum
def run_vacuum(self):
    """``parlai vacuum``, which unpickles: a file of ours is read by our own loader before."""
    path = self.opt["path"]
    kind = agent_class(path) if path and PathManager.isfile(path) else None
    if kind and kind.__module__.startswith(OURS):
        read_model_file(path)
    return _stock_vacuum(self)
