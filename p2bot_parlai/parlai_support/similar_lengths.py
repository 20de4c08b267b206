"""
Training dialogues of similar length in a batch, so that little is padded.

ParlAI's teachers draw each episode at random, with replacement. Here the draws of `WINDOW` batches
are made at once and sorted by length; the batches come in random order. So each episode is as
likely as before, and only its company is another. Seeds and resumed runs count as ever: the draws
are Python's, and `resume` saves those that wait.
"""

import random
from collections.abc import Sequence

from parlai.core.teachers import (
    DialogTeacher,
    FixedDialogTeacher,
    ParlAIDialogTeacher,
    Teacher,
)
from parlai.core.worlds import BatchWorld, MultiWorld, World

from p2bot_parlai.parlai_support.mutators import labels_of, messages_of

WINDOW = 10  # batches
BESIDE = 16  # tokens of a turn besides its words: special ones, and a distractor


class Window:
    """
    :param lengths: of each episode. :param size: episodes of a batch.

    ``waiting``: the episodes that are drawn and not yet given, the next one last.
    """

    def __init__(self, lengths: Sequence[int], size: int):
        self.lengths, self.size = lengths, size
        self.waiting: list[int] = []

    def draw(self) -> int:
        """The next episode: in place of a teacher's ``next_episode_idx``."""
        if not self.waiting:
            episodes = range(len(self.lengths))
            drawn = random.choices(episodes, k=WINDOW * self.size)
            drawn.sort(key=self.lengths.__getitem__)
            batches = [drawn[i : i + self.size] for i in range(0, len(drawn), self.size)]
            random.shuffle(batches)
            self.waiting = [episode for batch in batches for episode in batch]
        return self.waiting.pop()


def sort_by_length(world: World) -> None:
    """Let the rows of a batch draw whole dialogues of similar length, of each task."""
    if not isinstance(world, BatchWorld):
        return
    for teachers in zip(*map(_teachers, world.worlds), strict=True):
        if not _draws_anew(teachers[0]):
            continue
        number = teachers[0].num_episodes()
        window = Window([_length(teachers[0], n) for n in range(number)], len(teachers))
        for teacher in teachers:
            teacher.window, teacher.next_episode_idx = window, window.draw


def _teachers(world: World) -> list[Teacher]:
    if isinstance(world, MultiWorld):
        return [teacher for sub in world.worlds for teacher in _teachers(sub)]
    return world.get_agents()[:1]


def _draws_anew(teacher: Teacher) -> bool:
    """Whether it draws from episodes in memory, in ParlAI's way."""
    return (
        isinstance(teacher, DialogTeacher | ParlAIDialogTeacher)
        and "stream" not in teacher.opt["datatype"]
        and teacher.random
        and type(teacher).next_episode_idx is FixedDialogTeacher.next_episode_idx
    )


def _length(teacher: FixedDialogTeacher, number: int) -> int:
    """Of an episode: about how many tokens it will have."""
    messages = messages_of(teacher, number)
    texts = [(message.get("text") or "", *labels_of(message)) for message in messages]
    return sum(BESIDE + len(" ".join(turn).split()) for turn in texts)
