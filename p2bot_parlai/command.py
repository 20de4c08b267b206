"""
How an error ends a command: a P2botError as one line, Ctrl-C as one word, the rest as ever.
"""

import os
import sys

from p2bot_parlai.errors import P2botError

TRACEBACK = "P2BOT_TRACEBACK"  # environment: set it to 1 to see where an error comes from
# how torch.multiprocessing ends the traceback of a worker that it hands to the parent
WORKER_ERROR = f"\n{P2botError.__module__}.{P2botError.__name__}: "

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
    reports as 130.
    """
    message = message_for_users(error)
    if message is None or wants_traceback():
        _previous(kind, error, trace)
        return
    sys.stdout.flush()
    print(message, file=sys.stderr)


def message_for_users(error: BaseException) -> str | None:
    """The one line that says it all, or None where the traceback is needed."""
    if isinstance(error, KeyboardInterrupt):
        return "\ninterrupted"  # below the line that Ctrl-C was typed on
    text = str(error)
    if not isinstance(error, P2botError):
        if WORKER_ERROR not in text:
            return None
        text = text.rpartition(WORKER_ERROR)[2]
    return "p2bot: error: " + " ".join(text.split())


def wants_traceback() -> bool:
    return os.environ.get(TRACEBACK, "0") not in ("", "0") or "--verbose" in sys.argv
