"""
P²Bot (Liu et al., 2020) for ParlAI: train, self-play, evaluate and chat.

`p2bot_parlai.method` is the method itself and needs no ParlAI. The `parlai` command finds the rest
through `p2bot_parlai.plugin`. `P2Bot`, the bot as a Python object, is imported when it is first
asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2bot_parlai.chat.api import P2Bot

__all__ = ["P2Bot"]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name != "P2Bot":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from p2bot_parlai.chat.api import P2Bot

    return P2Bot
