"""P²Bot (Liu et al., 2020) for ParlAI: train, self-play, evaluate and chat.

Importing the package makes its short names (`-m p2bot`, `-t p2bot:...`, `zoo:p2bot/...`) known to
ParlAI. It stays cheap: torch is imported by the agents, not from here. `P2Bot`, the bot as a Python
object (api.py), is imported when it is first asked for.
"""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2bot_parlai.api import P2Bot

__all__ = ["P2Bot"]
__version__ = "0.1.0"

# Hugging Face's libraries tell the hub nothing about this machine, and ask no service of theirs to
# convert a model that is loaded. They read this at import; what the user has set stays.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

# ParlAI's own requirements cannot be resolved on today's Python, so pip must be told to leave them
# out; that cannot be written in install_requires, and a user meets it here.
if find_spec("parlai") is None:
    raise ImportError(
        "p2bot_parlai needs ParlAI, which is not installed. Install it with: "
        "pip install --no-deps parlai==1.7.2"
    )
if find_spec("pkg_resources") is None:
    raise ImportError(
        "ParlAI imports pkg_resources, which setuptools no longer has. Install one that has it: "
        'pip install "setuptools<80.9"'
    )

from p2bot_parlai import plugin  # noqa: E402  (ParlAI must be there first)

plugin.register_names()


def __getattr__(name: str):
    if name != "P2Bot":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from p2bot_parlai.api import P2Bot

    return P2Bot
