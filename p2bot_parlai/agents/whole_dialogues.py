"""
Training messages as ids: all turns of a dialogue in one row (`p2bot_parlai.method.layout`).

Equivalent to training turn by turn, without re-reading every context.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from parlai.core.message import Message

from p2bot_parlai.agents.batches import P2botBatch, SupervisedBatch, TrainingBatch
from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.agents.history import DialogueHistory
from p2bot_parlai.method.layout import Turn, pack_in_pieces


class ReadTurn(NamedTuple):
    """:param words: of the response: what ppl per word divides by."""

    turn: Turn
    words: int


class TurnReader:
    """
    :param text_truncate: tokens of a context at most. :param label_truncate: of a response.
    :param distractors: drawn for each response; 0 where no head is trained.
    :param budget: tokens that are computed at once, see `pack_in_pieces`.
    """

    def __init__(
        self,
        dictionary: P2botDictionary,
        text_truncate: int,
        label_truncate: int,
        distractors: int,
        budget: int,
    ):
        self.dictionary, self.distractors, self.budget = dictionary, distractors, budget
        self.text_truncate, self.label_truncate = text_truncate, label_truncate

    def response(self, text: str, truncate: int | None = None) -> list[int]:
        """
        What is scored of a response, [EOS] included where it fits; where the next-utterance
        head reads [EOS], it always does.

        :param truncate: tokens at most; by default ``label_truncate``.
        """
        words = self.dictionary.txt2vec(text)
        return self.dictionary.p2bot.marks.response(words, truncate or self.label_truncate)

    def read(self, message: Message, history: DialogueHistory) -> list[ReadTurn]:
        """
        The turns of a whole dialogue (`WholeDialogueMutator`), or the one of any other message.

        :param history: has observed the message; reset after a whole dialogue.
        """
        if "dialogue" not in message:
            return [self._turn(message, history)[0]]
        history.reset()
        turns = []
        for said in message["dialogue"]:
            history.update_history(Message(said))
            turn, label = self._turn(said, history)
            turns.append(turn)
            history.add_reply(label)
        history.reset()
        return turns

    def _turn(self, said, history: DialogueHistory) -> tuple[ReadTurn, str]:
        context = history.context(self.text_truncate)
        label = random.choice(said["labels"])
        response = self.response(label)
        right = said.get("alternatives", said["labels"])
        others = [c for c in said.get("label_candidates") or () if c not in right]
        wrong = random.sample(others, min(self.distractors, len(others)))
        turn = Turn(context.ids, response, [self.response(text) for text in wrong])
        return ReadTurn(turn, self.dictionary.words(response, label)), label

    def batch(self, rows: Sequence[list[ReadTurn]], valid_indices: list[int]) -> P2botBatch:
        """A training batch whose examples are the turns of several messages."""
        messages = [message for message, row in enumerate(rows) for _ in row]
        words = [words for row in rows for _, words in row]
        turns = [turn for row in rows for turn, _ in row]
        responses = [turn.response for turn in turns]
        wrong = fill_up([turn.distractors for turn in turns], responses, self.distractors)
        filled = [
            Turn(turn.context, turn.response, own) for turn, own in zip(turns, wrong, strict=True)
        ]
        pieces = [
            SupervisedBatch(
                [responses[i] for i in numbers],
                [wrong[i] for i in numbers],
                [words[i] for i in numbers],
                packed=packed,
                messages=[messages[i] for i in numbers],
            )
            for numbers, packed in pack_in_pieces(filled, self.dictionary.p2bot.marks, self.budget)
        ]
        return P2botBatch(
            batchsize=len(turns),
            is_training=True,
            valid_indices=torch.tensor(valid_indices),
            # ParlAI counts their tokens
            text_vec=torch.cat([piece.packed.inputs.flatten() for piece in pieces]),
            label_vec=torch.cat([piece.packed.targets.flatten() for piece in pieces]),
            p2bot=TrainingBatch(pieces),
        )


def fill_up(
    distractors: Sequence[list[list[int]]], responses: Sequence[list[int]], count: int
) -> list[list[list[int]]]:
    """
    Each response's own distractors; where it has none, the next other responses of the batch.

    :param count: of them at most.
    """
    chosen = list(distractors)
    for i, (own, response) in enumerate(zip(distractors, responses, strict=True)):
        if not own:
            turned = [*responses[i + 1 :], *responses[:i]]
            chosen[i] = [other for other in turned if other != response][:count]
    return chosen
