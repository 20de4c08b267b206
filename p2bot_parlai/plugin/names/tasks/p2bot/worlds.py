"""Worlds by their short names. `-t p2bot:selfplay` looks here for SelfplayWorld, `interactive` for
InteractiveSelfplayWorld, `self_chat` for SelfChatSelfplayWorld; without one ParlAI takes its own.
"""

from p2bot_parlai.tasks.chat.persona_worlds import InteractiveWorld as InteractiveSketchWorld  # noqa: F401
from p2bot_parlai.tasks.chat.persona_worlds import SelfChatWorld as SelfChatSketchWorld  # noqa: F401
from p2bot_parlai.tasks.chat.worlds import InteractiveChatWorld  # noqa: F401
