"""
How an error ends a command: a P2botError as one line, everything else as without us.

In a run with an agent or a task of ours the same holds for Ctrl-C, a full disk and a missing
model file.
"""

import errno
import gc
import os
import sys
import time
import traceback
from types import TracebackType
from typing import NoReturn

from parlai.core.opt import Opt

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support import files, torchrun
from p2bot_parlai.parlai_support.names import no_model
from p2bot_parlai.parlai_support.ours import concerns_us
from p2bot_parlai.parlai_support.patching import Patch
from p2bot_parlai.plugin import typos

TRACEBACK = "P2BOT_TRACEBACK"  # environment: set it to 1 to see where an error comes from
# how torch.multiprocessing ends the traceback of a worker that it hands to the parent
WORKER_ERRORS = tuple(f"\n{e.__module__}.{e.__name__}: " for e in (P2botError, UsageError))
LONGEST = 1000  # characters of a message
HEAD_START = 10  # seconds
USAGE = 2  # exit status, argparse's own
# how ParlAI says that -mf names nothing (core/agents.py:462), or is not there (:484)
NO_MODEL = "WARNING: Model file does not exist, check to make sure it is correct: "
NO_MODEL_NAMED = "Need to set `model` argument to use create_agent."
NO_FILE_NAMED = "fromfile_datapath not specified"  # tasks/fromfile/agents.py
UNREADABLE = {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES}
FALSE = {"f", "false", "n", "no", "0", "off"}  # as ParlAI's options take it


def install() -> None:
    """Put our hook before the present one, and shorten what the parser says."""
    Patch(sys, "excepthook", one_line_errors).apply()
    typos.install(end)


def one_line_errors(stock):
    def excepthook(kind, error, trace) -> None:
        """
        What Python calls with an uncaught exception.

        The exit status is Python's own: 1, and after Ctrl-C death by SIGINT, which a shell
        reports as 130; a `UsageError` ends with 2.
        """
        if message_for_users(error):
            known = None if _is_of_others(trace) else error
        else:
            known = explained(error, trace)
        if known is None or wants_traceback():
            stock(kind, error, trace)
            return
        sys.stdout.flush()
        gc.freeze()  # at its end Python would look through all of torch's objects, for two seconds
        if isinstance(known, UsageError):
            end(known)  # SystemExit is the one exception that Python heeds in here
        interrupted = isinstance(known, KeyboardInterrupt)
        if not interrupted:
            say(message_for_users(known))
        elif not torchrun.rank():
            say("\ninterrupted")  # below the line that Ctrl-C was typed on

    return excepthook


def end(error: UsageError) -> NoReturn:
    """Say what is wrong with a command line, and exit."""
    say(message_for_users(error))
    sys.exit(USAGE)


def say(text: str) -> None:
    """
    On stderr, once for all processes of `torchrun`: where one ends, torchrun ends the others. So
    the primary goes first, and another one says what it alone has to say.
    """
    if rank := torchrun.rank():
        time.sleep(HEAD_START)
        text = f"rank {rank}: {text}"
    sys.stderr.write(f"{text}\n")  # ParlAI has silenced `print` of all but the primary


def message_for_users(error: BaseException) -> str | None:
    """The one line for an error of ours, in this process or a worker; else None."""
    text = str(error)
    if not isinstance(error, P2botError):
        found = next((mark for mark in WORKER_ERRORS if mark in text), None)
        if found is None:
            return None
        text = text.rpartition(found)[2]
    line = " ".join(text.split())
    if len(line) > LONGEST:  # what a file holds in place of a name may be a megabyte
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    return "p2bot: error: " + "".join(map(_shown, line))


def explained(error: BaseException, trace: TracebackType | None) -> BaseException | None:
    """
    The error to show in place of one that is not ours, in a run of ours; None where its traceback
    is needed, or the run is of others.
    """
    if typos.means_us(sys.argv[1:]):
        if isinstance(error, KeyboardInterrupt):
            return error  # while it loads there is no opt
        if unknown := typos.unknown_name(error, trace):
            return unknown
    opts, of_script = _run(trace)
    if of_script or any(map(concerns_us, opts)):
        return error if isinstance(error, KeyboardInterrupt) else _without_traceback(error, opts)
    # whose a model is that is not there, or not named, cannot be known
    nobody = opts and not any(opt.get("model") for opt in opts)
    return _without_model(str(error)) if nobody else None


def _is_of_others(trace: TracebackType | None) -> bool:
    """Whether a run names an agent of others, and no task of ours: our checks run there too."""
    opts, of_script = _run(trace)
    named = all(opt.get("model") and not concerns_us(opt) for opt in opts)
    return bool(opts) and named and not of_script


def _run(trace: TracebackType | None) -> tuple[list[Opt], bool]:
    """The options that a failed run had, and whether its command is one of ours."""
    frames = [frame for frame, _ in traceback.walk_tb(trace)]
    opts = [opt for f in frames if isinstance(opt := f.f_locals.get("opt"), Opt)]
    names = (frame.f_globals.get("__name__", "") for frame in frames)
    return opts, any(name.startswith(typos.SCRIPTS) for name in names)


def _without_traceback(error: BaseException, opts: list[Opt]) -> P2botError | None:
    """What is the command line's fault, or the disk's. :param opts: of the run."""
    text = str(error)
    if text == NO_FILE_NAMED:
        return UsageError("name the file of dialogues: --fromfile-datapath FILE")
    if not isinstance(error, OSError):
        return _without_model(text)
    if error.errno in files.NO_ROOM:
        path = error.filename or "a file"  # the name of an open file is not in the error
        return P2botError(f"cannot write {path}: {error.strerror}")
    given = [name for opt in opts for name, value in opt.items() if value == error.filename]
    given.sort(key="datapath".__eq__)  # -dp has set it too, see below
    if error.errno not in UNREADABLE or not error.filename or not given:
        return None
    flag = "--" + given[0].replace("_", "-")
    if error.errno != errno.EISDIR:
        return P2botError(f"{flag} {error.filename}: {error.strerror}; check the path")
    data = "; the data folder is --datapath: -dp stands for --fromfile-datapath with this task"
    about_data = data if given[0] == "fromfile_datapath" else ""
    return UsageError(f"{flag} {error.filename} is a folder: name a file in it{about_data}")


def _without_model(text: str) -> P2botError | None:
    if text == NO_MODEL_NAMED:
        return UsageError("name a model: -mf FILE, or a shipped one, -mf zoo:p2bot/smollm2/model")
    if text.startswith(NO_MODEL):
        return P2botError(f"{no_model(text.removeprefix(NO_MODEL))}: check -mf")
    return None


def _shown(letter: str) -> str:
    """What a file holds must not move a terminal's cursor, or change its colours."""
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def wants_traceback() -> bool:
    """Asked for by the environment, ``--verbose`` or ``--debug`` that are not false, or
    ``--loglevel debug``."""
    words = [part for word in sys.argv[1:] for part in word.split("=", 1)]
    given = dict(zip(words, [*words[1:], ""], strict=False))
    asked = (given.get(flag, "no").lower() not in FALSE for flag in ("--verbose", "-v", "--debug"))
    on = os.environ.get(TRACEBACK, "0") not in ("", "0")
    return on or any(asked) or given.get("--loglevel") == "debug"
