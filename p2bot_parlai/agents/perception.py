"""
Shared by the agents that perceive personas: reading questions, ranking, metrics.

`p2bot_parlai.tasks.persona_perception` asks the questions; Table 5 of the paper compares
the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from parlai.core.agents import Agent
from parlai.core.message import Message
from parlai.core.metrics import AverageMetric, Metric
from torch import Tensor

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.names import set_model_type

HARD_METRIC = "hits@1_of_{}"


@dataclass
class Question:
    """
    One dialogue and the personas that it may show.

    :param utterances: what the speaker said. :param candidates: personas as text, a
        sentence per line. :param people: the person behind each candidate, where known.
    :param truth: the speaker's persona as text, where known.
    :param hard_candidates: a longer list, in evaluation.
    :param profile_sentences: all of the fold, in evaluation. :param own: the rows of the
        speaker's own among them.
    :param reveals: which of the own persona's sentences each utterance shows, None where it
        shows none; empty where that is not known.
    """

    utterances: list[str]
    candidates: list[str]
    people: list[int]
    truth: str | None = None
    hard_candidates: list[str] = field(default_factory=list)
    profile_sentences: Sequence[str] = ()
    own: list[int] = field(default_factory=list)
    reveals: list[int | None] = field(default_factory=list)

    @classmethod
    def read(cls, message: Message) -> "Question":
        """:raises P2botError: for a message that offers no personas to choose from."""
        labels = message.get("labels") or message.get("eval_labels")
        candidates = list(message.get("label_candidates") or ())
        # the candidates of a task of dialogues are responses, of one line
        personas = "candidate_people" in message or any("\n" in text for text in candidates)
        if not candidates or (labels and not (personas and labels[0] in candidates)):
            raise P2botError(
                "this task offers no personas to choose from (label_candidates, the label among "
                "them): use -t p2bot:persona_perception, which makes such a task of one of "
                "dialogues, --perception-task"
            )
        return cls(
            utterances=lines(message.get("text") or ""),
            candidates=candidates,
            people=list(message.get("candidate_people") or range(len(candidates))),
            truth=labels[0] if labels else None,
            hard_candidates=list(message.get("hard_candidates") or ()),
            profile_sentences=message.get("profile_sentences") or (),
            own=list(message.get("own_sentences") or ()),
            reveals=list(message.get("reveals") or ()),
        )


def lines(text: str) -> list[str]:
    """Utterances or profile sentences, one per line."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def ranked(texts: Sequence[str], scores: Tensor) -> list[str]:
    """Texts by falling score; the order of the list decides between equals."""
    return [texts[i] for i in scores.sort(descending=True, stable=True).indices.tolist()]


def mean_reciprocal_rank(scores: Tensor, own: Sequence[int]) -> float:
    """
    Table 5's MRR of one dialogue: the average of 1 / rank of its own profile sentences.

    All of them are ranked among all sentences of the fold, so that four perfect ones have
    (1 + 1/2 + 1/3 + 1/4) / 4 = 0.52. Equal scores share their mean rank.

    :param scores: (K,), of every profile sentence of the fold. :param own: rows of it.
    """
    mine = scores[list(own)][:, None]
    above = (scores > mine).sum(dim=1)
    equal = (scores == mine).sum(dim=1)  # itself among them
    return (1 / (above + (equal + 1) / 2)).mean().item()


def hit_metric(question: Question, scores: Tensor) -> Metric | None:
    """Whether the true persona comes first in the hard list."""
    if question.truth is None or not question.hard_candidates:
        return None
    return AverageMetric(ranked(question.hard_candidates, scores)[0] == question.truth)


def mrr_metric(question: Question, scores: Tensor) -> Metric | None:
    if not question.own:
        return None
    return AverageMetric(mean_reciprocal_rank(scores, question.own))


def true_cell_metric(question: Question, U: Tensor) -> Metric | None:
    """
    Of the utterances that show a sentence of the speaker's persona: how often the highest
    cell of the utterance's row is that sentence's. Cells that share the highest place share
    the hit.

    :param U: (N, L), every utterance against the own persona's sentences (Eq. 11).
    """
    if not question.reveals:
        return None
    shown = [
        (row, place) for row, place in zip(U, question.reveals, strict=True) if place is not None
    ]
    highest = [(row == row.max(), place) for row, place in shown]
    hits = sum(best[place].item() / best.sum().item() for best, place in highest)
    # every utterance has the same weight
    return AverageMetric(hits, len(shown))


class PerceptionBaseline(Agent):
    """
    An agent without training. A subclass defines `scores` of utterances and personas (lists of
    sentences): one score per persona.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt=None):
        set_model_type(parser)
        return parser

    def act(self) -> Message:
        message = Message(self.observation)
        if message.is_padding():
            return Message({"id": self.id, "episode_done": False})
        question = Question.read(message)
        self.prepare(question)
        order = ranked(question.candidates, self._of(question, question.candidates))
        hard = self._of(question, question.hard_candidates)
        metrics = {
            HARD_METRIC.format(len(question.hard_candidates)): hit_metric(question, hard),
            "mrr": mrr_metric(question, self._of(question, question.profile_sentences)),
            "true_cell": true_cell_metric(question, self._cells(question)),
        }
        return Message(
            {
                "id": self.id,
                "episode_done": False,
                "text": order[0],
                "text_candidates": order,
                "metrics": {name: metric for name, metric in metrics.items() if metric},
            }
        )

    def prepare(self, question: Question) -> None:
        """Called before a question is answered; e.g. to fit to the fold's sentences."""

    def _cells(self, question: Question) -> Tensor:
        """(N, L): each utterance alone against each sentence of the own persona."""
        if not question.reveals or not question.truth:
            return torch.zeros(0)
        sentences = [[sentence] for sentence in lines(question.truth)]
        return torch.stack([self.scores([said], sentences) for said in question.utterances])

    def _of(self, question: Question, texts: Sequence[str]) -> Tensor:
        if not texts:
            return torch.zeros(0)
        return self.scores(question.utterances, [lines(text) for text in texts])
