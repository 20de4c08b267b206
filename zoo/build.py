"""
Called by ParlAI for `zoo:p2bot/<name>/model`.

Only p2bot/sketch ships; any other model's files must be in <datapath>/models/p2bot/<name>.
"""

from p2bot_parlai.zoo.sketch import download  # noqa: F401
