"""Errors that users can fix."""


class P2botError(RuntimeError):
    """
    An error the user can fix: a missing file, a wrong flag, a tokenizer of another model.

    The message is one line that names the problem and the remedy. On the command line
    it is printed without a traceback (see `p2bot_parlai.plugin.command`).
    """


class UsageError(P2botError):
    """
    A wrong command line: an option is missing, or has a value that can never work. The command
    ends with exit status 2, as it does for an unknown option.
    """
