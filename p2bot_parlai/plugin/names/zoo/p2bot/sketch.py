"""zoo:p2bot/sketch/model: see p2bot_parlai.zoo.packing."""

from functools import partial

from p2bot_parlai.zoo import packing

download = partial(packing.download, "sketch")
