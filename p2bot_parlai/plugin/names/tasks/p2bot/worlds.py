"""Worlds by their short names. `-t p2bot:selfplay` looks here for SelfplayWorld, `interactive` for
InteractiveSelfplayWorld, `self_chat` for SelfChatSelfplayWorld; without one ParlAI takes its own.

One line for each: from p2bot_parlai.tasks.<task>.worlds import <Task>World
"""

from p2bot_parlai.tasks.chat.worlds import InteractiveChatWorld  # noqa: F401
