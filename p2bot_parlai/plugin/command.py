"""
How an error ends a command: a P2botError as one line, Ctrl-C as one word, the rest as ever.
"""

import os
import sys

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support import files

TRACEBACK = "P2BOT_TRACEBACK"  # environment: set it to 1 to see where an error comes from
# how torch.multiprocessing ends the traceback of a worker that it hands to the parent
WORKER_ERRORS = tuple(f"\n{e.__module__}.{e.__name__}: " for e in (P2botError, UsageError))
LONGEST = 1000  # characters of a message
USAGE = 2  # exit status, argparse's own
# how ParlAI says that -mf names nothing (core/agents.py:462)
NO_MODEL = "WARNING: Model file does not exist, check to make sure it is correct: "

_previous = sys.excepthook


def install() -> None:
    """Put our hook before the present one, once."""
    global _previous
    if sys.excepthook is not excepthook:
        _previous = sys.excepthook
        sys.excepthook = excepthook


def excepthook(kind, error, trace) -> None:
    """
    What Python calls with an exception that nobody caught.

    The exit status is Python's own: 1, and after Ctrl-C death by SIGINT, which a shell
    reports as 130. What was called wrongly ends with 2.
    """
    message = message_for_users(error)
    if message is None or wants_traceback():
        _previous(kind, error, trace)
        return
    sys.stdout.flush()
    print(message, file=sys.stderr)
    if isinstance(error, UsageError):
        raise SystemExit(USAGE)  # the one exception that Python heeds in here


def message_for_users(error: BaseException) -> str | None:
    """The one line that says it all, or None where the traceback is needed."""
    if isinstance(error, KeyboardInterrupt):
        return "\ninterrupted"  # below the line that Ctrl-C was typed on
    text = str(error)
    if text.startswith(NO_MODEL):
        error = P2botError(f"there is no model at {text.removeprefix(NO_MODEL)}: check -mf")
        text = str(error)
    if isinstance(error, OSError) and error.errno in files.NO_ROOM:
        path = error.filename or "a file"  # of a file that is open already nobody knows the name
        error = P2botError(f"cannot write {path}: {error.strerror}")
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


def _shown(letter: str) -> str:
    """What a file holds must not move a terminal's cursor, or its colours."""
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def wants_traceback() -> bool:
    return os.environ.get(TRACEBACK, "0") not in ("", "0") or "--verbose" in sys.argv
