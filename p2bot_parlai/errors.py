"""The exceptions that are meant for users' eyes."""


class P2botError(RuntimeError):
    """
    Something a user can mend: a missing file, a flag, a tokenizer that does not fit.

    The message is one line that names the thing and the remedy. On the command line
    it is printed without a traceback (see `p2bot_parlai.plugin.command`).
    """


class UsageError(P2botError):
    """
    What was said on the command line cannot be meant: an option is missing, or has a value that
    can never work. Such a command ends with exit status 2, as with an option that there is not.
    """
