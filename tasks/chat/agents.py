"""``-t p2bot:chat`` has no examples: it is for ``parlai interactive``."""

from parlai.core.opt import Opt
from parlai.core.teachers import Teacher

from p2bot_parlai.errors import UsageError


class ChatTeacher(Teacher):
    """ParlAI needs a teacher to find the options of a task."""

    def __init__(self, opt: Opt, shared=None):
        raise UsageError("-t p2bot:chat has no examples: it is for parlai interactive only")
