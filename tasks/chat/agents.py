"""``-t p2bot:chat`` has nothing to teach: it is a place to talk in."""

from parlai.core.opt import Opt
from parlai.core.teachers import Teacher

from p2bot_parlai.errors import UsageError


class ChatTeacher(Teacher):
    """What ParlAI looks for to find options of a task."""

    def __init__(self, opt: Opt, shared=None):
        raise UsageError("-t p2bot:chat holds no examples: it is for parlai interactive alone")
