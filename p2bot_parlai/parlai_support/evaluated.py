"""
Which examples an evaluation reads: ``--num-examples N`` exactly (ParlAI evaluates whole batches),
``--eval-dialogues 251-500``, ``--max-eval-time SECONDS``.
"""

import argparse
import math
import time

from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import FixedDialogTeacher, Teacher
from parlai.utils.data import DatatypeHelper
from parlai.utils.distributed import get_rank, num_workers

from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support.mutators import labels_of

EXACTLY = "p2bot_num_examples"  # key of an opt


def add_options(parser: ParlaiParser) -> None:
    """Of every command with a task, whoever's the agent is."""
    group = parser.add_argument_group("Part of an evaluation")
    try:
        group.add_argument(
            "--eval-dialogues",
            help="Evaluate and validate on these dialogues of the fold alone, counted from 1, such "
            "as 251-500; default: all",
        )
        group.add_argument(
            "--max-eval-time",
            type=float,
            default=-1,
            help="End an evaluation (of each task) after this many seconds; -1: never",
        )
    except argparse.ArgumentError:
        pass  # ParlAI adds the options of a task more than once


def wanted_dialogues(opt: Opt) -> tuple[int, int | None]:
    """:returns: how many dialogues precede those wanted, and the last of them (None: all)."""
    if not (given := opt.get("eval_dialogues")):
        return 0, None
    first, _, last = given.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last)):
        raise UsageError(f"--eval-dialogues {given}: FIRST-LAST, counted from 1, such as 251-500")
    return int(first) - 1, int(last)


def restrict(teacher: Teacher, opt: Opt) -> None:
    """
    Let a teacher, and those that share its data, give what the options want and no more: examples
    are those that are counted (with a label, or an opening of self-play).

    Its class is replaced, as ParlAI makes the others of a batch by class.

    :raises UsageError: for dialogues that are not there.
    """
    before, last = wanted_dialogues(teacher.opt)
    seconds, number = opt.get("max_eval_time", -1), opt.get(EXACTLY, math.inf)
    whole = last is None and seconds <= 0 and number == math.inf
    if whole or DatatypeHelper.is_training(opt["datatype"]):
        return
    kind, left, until = type(teacher), number, math.inf
    if last is not None:
        about = f"--eval-dialogues {opt['eval_dialogues']}: {opt['task']}"
        if "stream" in opt["datatype"]:
            raise UsageError(f"{about} is read as a stream: leave :stream out of --datatype")
        # each of several processes holds every n-th dialogue, and one of them the last
        rank, step = get_rank(), num_workers()
        if not isinstance(teacher, FixedDialogTeacher) or (
            rank + step * teacher.num_episodes() <= before
        ):
            raise UsageError(f"{about} has no such dialogues")
        before, last = (len(range(rank, n, step)) for n in (before, last))

    class Ending(kind):
        def reset(self):
            nonlocal left, until
            left, until = number, math.inf
            super().reset()

        def act(self):
            nonlocal left, until
            if until == math.inf and seconds > 0:
                until = time.monotonic() + seconds
            if self._ended():
                self.lastY = None
                return Message.padding_example()
            message = super().act()
            counted = labels_of(message) or "opening" in message or self.opt.get("hide_labels")
            left -= bool(counted and not message.is_padding())
            return message

        def _ended(self) -> bool:
            return left <= 0 or time.monotonic() > until

        def epoch_done(self):
            return self._ended() or super().epoch_done()

        def num_examples(self):
            return min(number, super().num_examples())

        def next_episode_idx(self, num_eps=None, loop=None):
            self.index.value = max(self.index.value, before - 1)
            return super().next_episode_idx(num_eps, loop)

        def num_episodes(self):
            return min(math.inf if last is None else last, super().num_episodes())

    teacher.__class__ = Ending
