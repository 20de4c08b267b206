"""
Leaving out words while the Receiver trains, so that it must go by meaning.

Neither is in the paper. Persona-Chat's original profile sentences share their rare words
with what their owners say, its revised ones do not: a Receiver that was trained on original
ones alone learns to look for shared words.
"""

import random
from collections.abc import Collection, Iterable


class WordDropout:
    """
    What is left out of one batch.

    :param special: ids that are never left out ([CLS], [SEP]).
    :param share: probability with which each token of a sentence is left out, by itself.
    :param one_sided: probability with which a word is left out of all utterances or, at
        evens, of all profile sentences of the batch: no pair of them has it in common. The
        sides are drawn anew for each batch.
    """

    def __init__(self, special: Collection[int], share: float = 0.0, one_sided: float = 0.0):
        self.special, self.share, self.one_sided = special, share, one_sided
        self._sides: dict[int, str] = {}

    def utterance(self, ids: Iterable[int]) -> tuple[int, ...]:
        """What is left of an utterance."""
        return self._left(ids, "utterance")

    def profile(self, ids: Iterable[int]) -> tuple[int, ...]:
        """What is left of a profile sentence."""
        return self._left(ids, "profile")

    def _left(self, ids: Iterable[int], side: str) -> tuple[int, ...]:
        ids = tuple(ids)
        kept = [i for i in ids if i in self.special or not self._dropped(i, side)]
        # a sentence of special tokens alone says nothing: it stays whole
        return tuple(kept) if any(i not in self.special for i in kept) else ids

    def _dropped(self, token: int, side: str) -> bool:
        if self.one_sided and self._side(token) == side:
            return True
        return self.share > 0 and random.random() < self.share

    def _side(self, token: int) -> str:
        if token not in self._sides:
            gone = random.random() < self.one_sided
            self._sides[token] = random.choice(("utterance", "profile")) if gone else "neither"
        return self._sides[token]
