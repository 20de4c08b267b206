"""Are the options of a saved model such as the command line would have taken?"""

from argparse import SUPPRESS
from reprlib import repr as short

from parlai.core.agents import Agent
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import P2botError

LARGEST = 2**63  # what torch takes as a number of anything
TYPES = {int: int, float: (int, float), str: str, "bool": (bool, int)}


def checked(options: Opt, agent: type[Agent], optfile: str) -> dict:
    """
    :param options: what the file holds. :param agent: whose options they are.
    :return: the defaults of those that it lacks, as the file of an older version does.
    :raises P2botError: for a value that is of another kind than its option takes.
    """
    parser = ParlaiParser(True, True)
    agent.add_cmdline_args(parser, Opt())
    missing = {}
    for action in parser._actions:
        name, default = action.dest, parser.get_default(action.dest)
        if default == SUPPRESS:
            continue
        if name not in options:
            missing[name] = default
        elif not _fits(options[name], action, default):
            raise P2botError(
                f"{optfile}: {short(options[name])} is no value of --{name.replace('_', '-')}: the "
                "file is damaged, or was edited"
            )
    return missing


def _fits(value, action, default) -> bool:
    if value is None or value == default:
        return value is None and default is None or value == default
    if isinstance(value, list | tuple):
        several = action.nargs in ("*", "+") or isinstance(action.nargs, int)
        # "1e-30,1e-3" on the command line is a list in the file
        several = several or action.type not in TYPES
        return several and all(_is_of(one, action) for one in value)
    return _is_of(value, action)


def _is_of(value, action) -> bool:
    kind = action.type or (str if action.nargs != 0 else "bool")
    if not isinstance(value, TYPES.get(kind, (str, int, float, bool))):
        return False
    if isinstance(value, int) and abs(value) >= LARGEST:
        return False
    return not action.choices or value in action.choices
