"""zoo:p2bot/sketch/model: see p2bot_parlai.zoo.sketch."""

from p2bot_parlai.zoo.sketch import download  # noqa: F401
