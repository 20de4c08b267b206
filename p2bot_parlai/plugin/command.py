"""
How an error ends a command: a P2botError as one line, everything else as without us.

In a run with an agent or a task of ours the same holds for Ctrl-C, a full disk and a missing
model file.
"""

import gc
import os
import sys
import traceback
from types import TracebackType

from parlai.core.opt import Opt

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support import files
from p2bot_parlai.parlai_support.ours import concerns_us
from p2bot_parlai.parlai_support.patching import Patch

TRACEBACK = "P2BOT_TRACEBACK"  # environment: set it to 1 to see where an error comes from
# how torch.multiprocessing ends the traceback of a worker that it hands to the parent
WORKER_ERRORS = tuple(f"\n{e.__module__}.{e.__name__}: " for e in (P2botError, UsageError))
LONGEST = 1000  # characters of a message
USAGE = 2  # exit status, argparse's own
# how ParlAI says that -mf names nothing (core/agents.py:462)
NO_MODEL = "WARNING: Model file does not exist, check to make sure it is correct: "


def install() -> None:
    """Put our hook before the present one."""
    Patch(sys, "excepthook", one_line_errors).apply()


def one_line_errors(stock):
    def excepthook(kind, error, trace) -> None:
        """
        What Python calls with an uncaught exception.

        The exit status is Python's own: 1, and after Ctrl-C death by SIGINT, which a shell
        reports as 130; a `UsageError` ends with 2.
        """
        message = message_for_users(error)
        if message is None and (line := message_of_run(error)) and _is_our_run(trace):
            message = line
        if not message or wants_traceback():
            stock(kind, error, trace)
            return
        sys.stdout.flush()
        print(message, file=sys.stderr)
        gc.freeze()  # at its end Python would look through all of torch's objects, for two seconds
        if isinstance(error, UsageError):
            raise SystemExit(USAGE)  # the one exception that Python heeds in here

    return excepthook


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


def message_of_run(error: BaseException) -> str | None:
    """The one line for what may end any run, or None where the traceback is needed."""
    if isinstance(error, KeyboardInterrupt):
        return "\ninterrupted"  # below the line that Ctrl-C was typed on
    text = str(error)
    if text.startswith(NO_MODEL):
        path = text.removeprefix(NO_MODEL)
        return message_for_users(P2botError(f"there is no model at {path}: check -mf"))
    if isinstance(error, OSError) and error.errno in files.NO_ROOM:
        path = error.filename or "a file"  # the name of an open file is not in the error
        return message_for_users(P2botError(f"cannot write {path}: {error.strerror}"))
    return None


def _is_our_run(trace: TracebackType | None) -> bool:
    """Whether the options of the failed run, or its command, are ours."""
    for frame, _ in traceback.walk_tb(trace):
        opt = frame.f_locals.get("opt")
        ours = frame.f_globals.get("__name__", "").startswith("p2bot_parlai.scripts.")
        if ours or (isinstance(opt, Opt) and concerns_us(opt)):
            return True
    return False


def _shown(letter: str) -> str:
    """What a file holds must not move a terminal's cursor, or change its colours."""
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def wants_traceback() -> bool:
    return os.environ.get(TRACEBACK, "0") not in ("", "0") or "--verbose" in sys.argv
