"""Contexts drawn from a task, with the human's answers."""

import random
from dataclasses import dataclass

from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.utils.data import DatatypeHelper

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.parlai_support.dialogues import episodes, teacher_of


@dataclass(frozen=True)
class Sample:
    """
    :param messages: the teacher's, up to the one to answer, each with its label.
    :param label: what the human answered.
    """

    task: str
    messages: tuple[Message, ...]
    label: str

    def dialogue(self) -> Dialogue:
        """Persona and turns as seen by whoever answers."""
        seen = Dialogue()
        for message in self.messages[:-1]:
            seen.hear(message.get("text") or "")
            seen.say(one_line(label_of(message)))
        seen.hear(self.messages[-1].get("text") or "")
        return seen


def named_turns(dialogue: Dialogue) -> list[tuple[str, str]]:
    """("partner" or "speaker", utterance), oldest first; the speaker answers."""
    return [("speaker" if own else "partner", text) for own, text in dialogue.turns]


def one_line(text: str) -> str:
    """Text without line breaks and double spaces."""
    return " ".join(text.split())


def label_of(message: Message) -> str:
    """The first label, or ""."""
    labels = message.get("labels") or message.get("eval_labels") or ("",)
    return labels[0]


def read_samples(opt: Opt, task: str) -> list[Sample]:
    """Every turn of a task's dialogues, in its order (``opt``'s datatype says of which fold)."""
    found = []
    for episode in episodes(teacher_of(opt, task, DatatypeHelper.fold(opt["datatype"]))):
        for turn, message in enumerate(episode, start=1):
            found.append(Sample(task, tuple(episode[:turn]), one_line(label_of(message))))
    return found


def draw_samples(opt: Opt, number: int, seed: int) -> list[Sample]:
    """
    ``number`` different turns of the tasks of ``-t``, drawn uniformly, in random order.

    :raises P2botError: if there are fewer, or one of them has no persona.
    """
    tasks = [task for task in (opt.get("task") or "").split(",") if task]
    if not tasks:
        raise UsageError("name the task to draw contexts from: -t convai2:self_original")
    if number < 1:
        raise UsageError(f"--number {number} is not at least 1")
    pool = [sample for task in tasks for sample in read_samples(opt, task)]
    if number > len(pool):
        raise P2botError(f"--number {number}: {opt['task']} has {len(pool)} contexts")
    drawn = random.Random(seed).sample(pool, number)
    for sample in drawn:
        if not sample.dialogue().persona:
            raise P2botError(
                f"{sample.task} shows no persona to rate responses by: use a task that does, "
                "such as -t convai2:self_original"
            )
    return drawn
