"""What our agents add to ParlAI's Batch: a dataclass in its field ``p2bot``."""

from dataclasses import dataclass, field, replace

from parlai.core.message import Message

from p2bot_parlai.method.kv_cache import ContextStates
from p2bot_parlai.method.layout import Layout
from p2bot_parlai.method.rollouts import Opening
from p2bot_parlai.parlai_support.batches import Batch


class P2botBatch(Batch):
    """ParlAI's does not move nested tensors."""

    def to(self, dev):
        moved = super().to(dev)
        moved.p2bot = self.p2bot.to(dev)
        return moved


@dataclass
class SupervisedBatch:
    """
    Responses to learn from or to compare with: in training the turns of a piece of a batch, in
    evaluation one of each message.

    :param responses: ids of each; None where a message has no label.
    :param distractors: ids of other responses, for the next-utterance head.
    :param words: of each response: what ppl per word divides by.
    :param packed: in training: what the network reads. :param messages: in training: which message
        of the batch each turn is of.
    :param contexts: in evaluation: ids. :param observations: the messages.
    :param states: the contexts, encoded. :param scores: of what was generated.
    """

    responses: list[list[int] | None]
    distractors: list[list[list[int]]]
    words: list[int]
    packed: Layout | None = None
    messages: list[int] = field(default_factory=list)
    contexts: list[list[int]] = field(default_factory=list)
    observations: list[Message] = field(default_factory=list)
    states: ContextStates | None = None
    scores: list[float] | None = None

    def to(self, device) -> "SupervisedBatch":
        return replace(self, packed=self.packed and self.packed.to(device))


@dataclass
class TrainingBatch:
    """
    What is learnt from messages, each of which may be a whole dialogue.

    :param pieces: are computed one after another, see ``--tokens-per-batch``.
    """

    pieces: list[SupervisedBatch]

    def to(self, device) -> "TrainingBatch":
        return TrainingBatch([piece.to(device) for piece in self.pieces])


@dataclass
class SelfPlayBatch(TrainingBatch):
    """
    Dialogues to play, and the ordinary examples of the same batch, whose messages come behind them.
    """

    openings: list[Opening]

    def to(self, device) -> "SelfPlayBatch":
        return SelfPlayBatch(super().to(device).pieces, self.openings)
