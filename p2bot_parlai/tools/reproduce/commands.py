"""How a command of a long run is written, here and in bench/demo.py."""

import sys
from collections.abc import Mapping

# the stock command, where P²Bot is known whatever else is installed
PARLAI = (sys.executable, "-m", "p2bot_parlai")
# what is not for the report: the tables are made by evaluations, later
SHORT = {"validation_max_exs": 64, "short_final_eval": True}
QUICK = {**SHORT, "skip_generation": True}


def arguments(script: str, options: Mapping) -> list[str]:
    """A command's arguments: options as ``--name value``, and -o as it is written."""
    flags = (("-o" if k == "o" else f"--{k.replace('_', '-')}", str(v)) for k, v in options.items())
    return [script, *(part for pair in flags for part in pair)]
