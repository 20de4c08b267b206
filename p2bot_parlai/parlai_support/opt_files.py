"""
What happens to a model's .opt before any agent of ours reads a byte.

The file names the agent's class by import path; ParlAI imports that and calls whatever stands
there: ``subprocess:getoutput`` would run the first option in a shell. A file that is not UTF-8
it unpickles. Both are checked first; SECURITY.md says what the checks promise.
"""

import json
import site
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse

from parlai.core import agents, params
from parlai.core.agents import Agent
from parlai.core.build_data import modelzoo_path
from parlai.core.loader import AGENT_REGISTRY, REGISTERED_REPOS, load_agent_module
from parlai.core.opt import Opt
from parlai.scripts import vacuum
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.ours import is_ours
from p2bot_parlai.parlai_support.patching import Patch


def install() -> None:
    """Check an .opt before ParlAI believes it."""
    for owner, name, wrap in (
        (Opt, "load", refuse_pickles),
        (params, "get_model_name", check_named_agent),
        (agents, "create_agent_from_opt_file", check_created_agent),
        (vacuum.Vacuum, "run", check_weights),
    ):
        Patch(owner, name, wrap).apply()


# ------------------------------------------------------------------- the file as such
def refuse_pickles(stock):
    """``Opt.load``, but never from a pickle: whose it is cannot be known without running it."""

    def load(cls, optfile: str) -> Opt:
        with PathManager.open(optfile, "rb") as file:
            content = file.read()
        try:
            content.decode("utf-8")
            found = stock.__get__(None, cls)(optfile)
        except UnicodeDecodeError as error:
            raise P2botError(
                f"{optfile} is not JSON; as a pickle it could run code, and is refused. Use the "
                ".opt that train_model wrote"
            ) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise P2botError(f"{optfile} is damaged: it holds no options ({error})") from error
        # what the command line says, which ParlAI never saves and would believe
        found.pop("override", None)
        return found

    return classmethod(load)


# ------------------------------------------------------------------ the agent it names
def check_named_agent(stock):
    """``get_model_name``, which reads the .opt where the user has named no agent."""

    def get_model_name(opt: Opt) -> str | None:
        name = stock(opt)
        if name is not None and opt.get("model") is None:
            check_agent(name, f"{modelzoo_path(opt.get('datapath'), opt['model_file'])}.opt")
        return name

    return get_model_name


def check_created_agent(stock):
    """``create_agent_from_opt_file``, once the agent is known to be one."""

    def create_agent_from_opt_file(opt: Opt) -> Agent | None:
        given = opt.get("override") or {}
        if not given.get("model"):
            kind = agent_class(opt["model_file"])
            if is_ours(kind):
                check_types(kind, f"{opt['model_file']}.opt", given)
        return stock(opt)

    return create_agent_from_opt_file


def agent_class(model_file: str) -> type[Agent] | None:
    """
    The class that the .opt of a model names, or None where there is no .opt.

    :raises P2botError: where it may not be believed, see `check_agent`.
    """
    optfile = f"{model_file}.opt"
    if not PathManager.exists(optfile):
        return None
    return check_agent(Opt.load(optfile).get("model"), optfile)


# in JSON, by the type of an option
IN_JSON: dict = {
    int: ("a whole number", lambda value: type(value) is int),
    float: ("a number", lambda value: type(value) in (int, float)),
    "bool": ("true or false", lambda value: type(value) is bool),
    str: ("a text", lambda value: type(value) is str),
    None: ("a text", lambda value: type(value) is str),
}


def check_types(kind: type[Agent], optfile: str, given: dict) -> None:
    """
    :param given: options of the command line, in whose place the file's are not used.
    :raises P2botError: for an option of an agent of ours that is of another type than the
        command line would take.
    """
    saved = Opt.load(optfile)
    parser = params.ParlaiParser(True, True)
    kind.add_cmdline_args(parser, Opt())
    for action in parser._actions:
        value = saved.get(action.dest, action.default)
        if action.type not in IN_JSON or action.dest in given or value == action.default:
            continue
        words, fits = IN_JSON[action.type]
        if action.nargs is None and not fits(value):
            flag = "--" + action.dest.replace("_", "-")
            raise P2botError(
                f"{optfile}: {action.dest} is {json.dumps(value)[:200]}, not {words}: the file was "
                f"changed. Use the one that train_model wrote, or give {flag}"
            )


def check_agent(name, optfile: str) -> type[Agent]:
    """
    The agent's class.

    :raises P2botError: where its module is neither imported already nor of an installed
        distribution, or where what it holds under this name is not an agent.
    """
    if not isinstance(name, str) or not name:
        raise P2botError(f"{optfile} names no agent: it is damaged, or not a model's")
    if not _is_installed(name):
        raise P2botError(
            f"{optfile} names the agent {name}, which no installed package has: nothing else is "
            f"imported because a file says so. If you trust it, add -m {name}"
        )
    try:
        found = load_agent_module(name)
    except (ModuleNotFoundError, AttributeError, IndexError) as error:
        raise P2botError(
            f"{optfile} names the agent {name}, which cannot be imported: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise P2botError(f"{optfile} names {name} as its agent, which is not one: it is refused")
    return found


def _is_installed(agent: str) -> bool:
    """
    Whether importing an agent's module runs only code that is imported already or installed.

    Every package on the way to the module is looked at before Python would run it; below a
    package that is imported everything belongs to it.
    """
    whole = _module_of(agent)
    if agent in AGENT_REGISTRY or whole in sys.modules:
        return True
    path, name = None, ""
    for part in whole.split("."):
        name = f"{name}.{part}" if name else part
        if name in sys.modules:
            if getattr(sys.modules[name], "__file__", None):
                return True
            path = list(getattr(sys.modules[name], "__path__", ()))  # of a namespace package
            continue
        if not part:
            return False
        # to find a name without dots nothing is imported
        spec = find_spec(name) if path is None else PathFinder.find_spec(name, path)
        if spec is None or (spec.has_location and not _lies_in_a_distribution(spec)):
            return False
        path = spec.submodule_search_locations or []
    return spec.has_location


def _module_of(agent: str) -> str:
    """The module, or a package above it, that `load_agent_module` imports for a name."""
    for prefix, about in REGISTERED_REPOS.items():
        if agent.startswith(prefix):
            return _module_in(about["repo"], agent.removeprefix(prefix))
    return _module_in("parlai", agent)


def _module_in(repository: str, agent: str) -> str:
    if agent.startswith("projects:"):
        return f"projects.{agent.split(':')[1]}"
    if ":" in agent:
        return agent.split(":")[0]
    return f"{repository}.agents.{agent.split('/')[0]}"


def _lies_in_a_distribution(spec: ModuleSpec) -> bool:
    """In a folder that pip installs to, or in the source of an editable installation."""
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    sources = filter(None, map(_editable_source, metadata.distributions(path=installed)))
    origin = Path(spec.origin).resolve()
    return any(origin.is_relative_to(Path(f).resolve()) for f in (*installed, *sources))


def _editable_source(distribution: metadata.Distribution) -> str | None:
    """See PEP 610."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return unquote(urlparse(origin["url"]).path)
    return None


# ------------------------------------------------------------------------ parlai vacuum
def check_weights(stock):
    """``parlai vacuum``, which unpickles: a file of ours is read by our own loader before."""

    def run(self):
        from p2bot_parlai.method.model_files import read_model_file  # takes transformers along

        path = self.opt["path"]
        if path and PathManager.isfile(path) and is_ours(agent_class(path)):
            read_model_file(path)
        return stock(self)

    return run
