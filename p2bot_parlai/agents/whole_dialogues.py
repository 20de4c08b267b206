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
from p2bot_parlai.parlai_support.dialogues import Responses


class ReadTurn(NamedTuple):
    """:param words: of the response: what ppl per word divides by."""

    turn: Turn
    words: int


class TurnReader:
    """
    :param text_truncate: tokens of a context at most. :param label_truncate: of a response.
    :param distractors: drawn for each response; 0 where no head is trained.
    :param others: what a distractor is drawn from where a message offers none.
    :param budget: tokens that are computed at once, see `pack_in_pieces`.
    """

    def __init__(
        self,
        dictionary: P2botDictionary,
        text_truncate: int,
        label_truncate: int,
        distractors: int,
        others: Responses,
        budget: int,
    ):
        self.others = others
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
            own = [text for own, text in history.dialogue.turns if own]
            return [self._turn(message, history, own)[0]]
        history.reset()
        turns = []
        own = [label for said in message["dialogue"] for label in said["labels"]]
        for said in message["dialogue"]:
            history.update_history(Message(said))
            turn, label = self._turn(said, history, own)
            turns.append(turn)
            history.add_reply(label)
        history.reset()
        return turns

    def _turn(self, said, history: DialogueHistory, own: Sequence[str]) -> tuple[ReadTurn, str]:
        """:param own: what else the speaker says in this dialogue, as far as it is known."""
        context = history.context(self.text_truncate)
        label = random.choice(said["labels"])
        response = self.response(label)
        right = said.get("alternatives", said["labels"])
        others = [c for c in said.get("label_candidates") or () if c not in right]
        if self.distractors and not others:
            texts, same = self.others.texts, {*own, *right}
            drawn = random.sample(texts, min(self.distractors + len(same), len(texts)))
            others = [text for text in drawn if text not in same]
        wrong = random.sample(others, min(self.distractors, len(others)))
        turn = Turn(context.ids, response, [self.response(text) for text in wrong])
        return ReadTurn(turn, self.dictionary.words(response, label)), label

    def batch(self, rows: Sequence[list[ReadTurn]], valid_indices: list[int]) -> P2botBatch:
        """A training batch whose examples are the turns of several messages."""
        messages = [message for message, row in enumerate(rows) for _ in row]
        words = [words for row in rows for _, words in row]
        turns = [turn for row in rows for turn, _ in row]
        pieces = [
            SupervisedBatch(
                [turns[i].response for i in numbers],
                [turns[i].distractors for i in numbers],
                [words[i] for i in numbers],
                packed=packed,
                messages=[messages[i] for i in numbers],
            )
            for numbers, packed in pack_in_pieces(turns, self.dictionary.p2bot.marks, self.budget)
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
