"""
Names that there are not, on a command line that means us: one line with the nearest that there is.

A command line of others ends as ParlAI ends it.
"""

import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import FrameType, TracebackType

import parlai.agents
import parlai.tasks
from parlai.core import loader, params
from parlai.core.build_data import modelzoo_path
from parlai.core.loader import SCRIPT_REGISTRY
from parlai.core.mutators import MUTATOR_REGISTRY, Mutator
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support.names import SHORT_NAME, no_model
from p2bot_parlai.parlai_support.patching import Patch

SCRIPTS = "p2bot_parlai.scripts."
NAMES = {"--model", "--task", "--evaltask", "--init-opt", "-m", "-t", "-et", "-o"}
FILES = {"--model-file", "--init-model", "-mf", "-im"}
ZOOS = {"zoo", "models", "izoo"}
AS_GOOD_AS_OURS = 0.8  # likeness from which a name is taken for a misspelt one of ours


def install(say) -> None:
    """:param say: prints an error and ends the process."""

    def one_line_usage(stock):
        """ParlAI prints all the help, hundreds of lines, above what is wrong."""

        def error(self, message: str) -> None:
            words = sys.argv[1:]
            if means_us(words):
                say(UsageError(_usage(self, message, words)))
            stock(self, message)

        return error

    Patch(ParlaiParser, "error", one_line_usage).apply()


# ------------------------------------------------------------------------- what is meant
def means_us(words: Sequence[str]) -> bool:
    """
    Whether a command line names a command, an agent, a task, a preset or a model of ours, or
    what is nearly one.

    :param words: those behind ``parlai``.
    """
    command = "".join(words[:1])
    if command not in SCRIPT_REGISTRY:
        command = "".join(get_close_matches(command, SCRIPT_REGISTRY, 1, AS_GOOD_AS_OURS))
    if command and SCRIPT_REGISTRY[command].klass.__module__.startswith(SCRIPTS):
        return True
    parts = [part for word in words for part in word.split("=", word.startswith("-"))]
    for flag, value in zip(parts, parts[1:], strict=False):
        flag = flag.replace("_", "-")
        if flag in NAMES and any(_is_like_ours(name) for name in value.split(",")):
            return True
        if flag in FILES:
            of_zoo = value.startswith("zoo:") and _is_like_ours(value.removeprefix("zoo:"))
            if of_zoo or _holds_ours(value):
                return True
    return False


def _is_like_ours(name: str) -> bool:
    first = re.split("[:/]", name.strip())[0]
    return first.startswith(SHORT_NAME) or bool(
        get_close_matches(first, [SHORT_NAME], 1, AS_GOOD_AS_OURS)
    )


def _holds_ours(model_file: str) -> bool:
    """By names alone: nothing is downloaded to find out, and no agent imported."""
    zoo, _, name = model_file.partition(":")
    if zoo in ZOOS:
        return name.startswith(SHORT_NAME)
    try:
        return _is_like_ours(params.get_model_name({"model_file": model_file}) or "")
    except (P2botError, OSError):  # a file that cannot be read is nobody's
        return False


# --------------------------------------------------- agents, tasks and mutators that are not
def unknown_name(error: BaseException, trace: TracebackType | None) -> UsageError | None:
    """The error for a name that ParlAI did not find, in place of ParlAI's own."""
    frames = [frame for frame, _ in traceback.walk_tb(trace)]
    if frames and frames[-1].f_code is modelzoo_path.__code__:
        return UsageError(no_model(frames[-1].f_locals["path"]))
    mutators = Mutator.load_mutator_types.__code__
    if isinstance(error, KeyError) and any(frame.f_code is mutators for frame in frames):
        name = error.args[0]
        return UsageError(f"there is no mutator {name}{_or(_near(name, MUTATOR_REGISTRY))}")
    loading = [frame for frame in frames if frame.f_globals.get("__name__") == loader.__name__]
    if not loading or not _is_of_the_name(error, frames[-1], loading[-1]):
        return None
    asked = {frame.f_code.co_name: frame.f_locals for frame in loading}
    if "load_teacher_module" in asked:
        name = asked["load_teacher_module"]["taskname"]
        return UsageError(f"there is no task {name}{_task_like(name, error)}")
    if "load_agent_module" in asked:
        name = asked["load_agent_module"]["agent_path"]
        return UsageError(f"there is no agent {name}{_or(_near(name, _folders(parlai.agents)))}")
    return None


def _is_of_the_name(error: BaseException, last: FrameType, loading: FrameType) -> bool:
    """Not, say, of a package that an existing task imports and that is not installed."""
    if isinstance(error, ModuleNotFoundError):
        return f"{loading.f_locals.get('module_name')}.".startswith(f"{error.name}.")
    return isinstance(error, AttributeError | IndexError) and last is loading


def _task_like(name: str, error: BaseException) -> str:
    first, *rest = name.split(":")
    if isinstance(error, ModuleNotFoundError):
        found = _near(first.lower(), _folders(parlai.tasks))
        return _or(found and ":".join([found, *rest]))
    variants = _variants(getattr(error, "obj", None))
    found = _near(_snake(rest[0]), variants) if rest else ""
    if found:
        return _or(":".join([first, found, *rest[1:]]))
    return f"; there are {', '.join(f'{first}:{variant}' for variant in variants)}"


def _variants(module) -> list[str]:
    """`SelfOriginalTeacher` is ``self_original``."""
    found = (name.removesuffix("Teacher") for name in dir(module) if name.endswith("Teacher"))
    return [_snake(name) for name in found if name]


def _snake(name: str) -> str:
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _folders(package) -> set[str]:
    """Agents and tasks are folders of a package; ``folder/module`` is an agent too."""
    found = [Path(folder) for path in package.__path__ for folder in Path(path).glob("[a-z]*/")]
    modules = {
        f"{folder.name}/{file.stem}" for folder in found for file in folder.glob("[a-z]*.py")
    }
    return {folder.name for folder in found} | modules


def _near(name: str, names: Iterable[str]) -> str:
    return "".join(get_close_matches(name, sorted(names), 1))


def _or(name: str) -> str:
    return f": did you mean {name}?" if name else ""


# ----------------------------------------------------------------- commands and options
def _usage(parser: ParlaiParser, message: str, words: Sequence[str]) -> str:
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown == message:
        if message.startswith("argument COMMAND: invalid choice"):
            return f"there is no command {words[0]}{_or(_near(words[0], SCRIPT_REGISTRY))}"
        return message
    used = vars(parser).get("_help_subparser") or parser  # the command's own
    options = {option for action in used._actions for option in action.option_strings}
    flags = (word.split("=")[0] for word in unknown.split() if word.startswith("-"))
    found = filter(None, (_near(flag, options) for flag in flags))
    return (
        f"{message}{_or(', '.join(found)) or '.'} All options: parlai {words[0]} --help, with "
        "the same -m or -mf, and -t"
    )
