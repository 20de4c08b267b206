"""Random draws that are the same on every machine."""

import random
from collections.abc import Sequence


class Draw:
    """
    Draws from `random.Random.random` alone, the one method that Python promises never to change.

    :param name: decides all draws, whatever PYTHONHASHSEED is.
    """

    def __init__(self, name: str):
        self._random = random.Random(name).random

    def chance(self, share: float) -> bool:
        return self._random() < share

    def below(self, count: int) -> int:
        """0 .. count - 1"""
        return int(self._random() * count)

    def one(self, things: Sequence):
        return things[int(self._random() * len(things))]

    def some(self, things: Sequence, count: int) -> list:
        """Up to `count` different places of `things`, in random order."""
        rest, chosen = list(things), []
        while rest and len(chosen) < count:
            chosen.append(rest.pop(self.below(len(rest))))
        return chosen
