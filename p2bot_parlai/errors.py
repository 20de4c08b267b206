"""The one exception that is meant for users' eyes."""


class P2botError(RuntimeError):
    """
    Something a user can mend: a missing file, a flag, a tokenizer that does not fit.

    The message is one line that names the thing and the remedy. On the command line
    it is printed without a traceback (see ``plugin.register``).
    """
