"""
Token rows that a Transmitter scores in one pass: turns packed in rows, and candidate responses.

The context is append-only, so the context of a turn is the beginning of the next turn's::

    [PS] .. [PE] [PARTNER] u_1 [SELF] a_1 [EOS] [PARTNER] u_2 [SELF] a_2 [EOS] | [CLS] [CLS]

Every a_n is predicted in place. The [CLS] of each turn stands at the end of the row, has the
position after its response and sees nothing later. Distractors follow as branches: each
``[SELF] d [CLS]`` sees the context of its turn and itself. A turn whose context lost old
turns (it became too long) begins a new row.

In the original form of context (`context_style`) a response reads differently than it does
in later contexts, and the head reads its last token: then a_n is a branch too::

    <pstart> .. <pend> <t1start> u_1 <t1end> a_1 <t1start> u_2 <t1end> | <start> a_1 <end> ..

Candidate responses to a context that was already read (`lay_out`) are only branches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from p2bot_parlai.method.context_style import ContextStyle
from p2bot_parlai.method.devices import moved
from p2bot_parlai.method.pieces import pieces


@dataclass
class Turn:
    """
    :param context: ids of s_n. :param response: ids of a_n, with [EOS] if it ended.
    :param distractors: other responses, likewise, for the next-utterance head.
    """

    context: list[int]
    response: list[int]
    distractors: list[list[int]] = field(default_factory=list)


@dataclass
class Layout:
    """
    P rows of T tokens, in which M responses of up to R tokens are scored.

    :param inputs: int (P, T). :param positions: int (P, T), counted from the end of the
        context that was read before, or from 0.
    :param seen: bool (P, T, T), which tokens of its row each token sees.
    :param targets: int (M, R), the responses. :param target_mask: bool (M, R), real tokens.
    :param target_index: int (M, R), where in the P * T tokens a target is predicted.
    :param cls_index: int (N,), where in the P * T tokens the next-utterance head reads. N
        counts the responses, each followed by its turn's distractors.
    """

    inputs: Tensor
    positions: Tensor
    seen: Tensor
    targets: Tensor
    target_mask: Tensor
    target_index: Tensor
    cls_index: Tensor

    def to(self, device: torch.device | str) -> "Layout":
        return Layout(**{name: moved(tensor, device) for name, tensor in vars(self).items()})


def pack(turns: Sequence[Turn], style: ContextStyle[int]) -> Layout:
    """
    Consecutive turns of one dialogue share a row where they can.

    :param turns: in order. Neither responses nor distractors are empty.
    """
    ((_, layout),) = pack_in_pieces(turns, style, 0)
    return layout


def pack_in_pieces(
    turns: Sequence[Turn], style: ContextStyle[int], budget: int
) -> list[tuple[list[int], Layout]]:
    """
    The same in several layouts, so that they can be computed one after another.

    :param budget: tokens of a layout, see `pieces`. :return: of each layout: which of the turns.
    """
    groups: list[list[int]] = []  # the turns of each row
    for number, turn in enumerate(turns):
        if groups and _continues(turns[groups[-1][-1]], turn, style):
            groups[-1].append(number)
        else:
            groups.append([number])

    rows = []
    for group in groups:
        last = turns[group[-1]]
        row = _Row(style.row(last.context, last.response))
        for turn in (turns[number] for number in group):
            start = len(turn.context)
            branch = row.add_branch(*style.own_branch(turn.context, turn.response))
            row.starts.append(start if style.predicts_in_place else branch)
            for distractor in turn.distractors:
                row.add_branch(style.candidate(distractor), start)
        rows.append(row)
    found = []
    for piece in pieces([len(row.tokens) for row in rows], budget):
        numbers = [number for row in piece for number in groups[row]]
        responses = [turns[number].response for number in numbers]
        found.append((numbers, _assemble([rows[row] for row in piece], responses, style.pad)))
    return found


def _continues(turn: Turn, later: Turn, style: ContextStyle[int]) -> bool:
    begin = style.row(turn.context, turn.response)
    return later.context[: len(begin)] == begin


def lay_out(responses: Sequence[Sequence[list[int]]], style: ContextStyle[int]) -> Layout:
    """
    A row for each context, with its candidate responses as branches.

    :param responses: of each context: ids that end in [EOS] unless they were cut.
    """
    rows = [_Row([]) for _ in responses]
    for row, candidates in zip(rows, responses, strict=True):
        row.starts = [row.add_branch(style.candidate(response), 0) for response in candidates]
    return _assemble(rows, [ids for candidates in responses for ids in candidates], style.pad)


class _Row:
    """
    A line of tokens and what branches off it.

    :param line: ids. ``starts`` are the places that the first token of each response is
        predicted from, ``cls`` those that the next-utterance head reads.
    """

    def __init__(self, line: list[int]):
        self.tokens, self.positions = list(line), list(range(len(line)))
        self.starts: list[int] = []
        self.cls: list[int] = []
        self._line = len(line)
        self._branches: list[tuple[slice, int]] = []  # (where, how much of the line it sees)

    def add_branch(self, ids: list[int], known: int) -> int:
        """:param known: how many tokens of the line it sees. :return: its place."""
        place = len(self.tokens)
        self.tokens += ids
        self._branches.append((slice(place, len(self.tokens)), known))
        self.positions += range(known, known + len(ids))
        self.cls.append(len(self.tokens) - 1)
        return place

    def seen(self) -> Tensor:
        """bool (T, T)"""
        seen = torch.zeros(len(self.tokens), len(self.tokens), dtype=torch.bool)
        seen[: self._line, : self._line] = True
        for branch, known in self._branches:
            seen[branch, :known] = True
            seen[branch, branch] = True
        return seen.tril()


def _assemble(rows: Sequence[_Row], responses: Sequence[list[int]], pad: int) -> Layout:
    width = max(len(row.tokens) for row in rows)
    inputs = torch.full((len(rows), width), pad)
    positions = torch.zeros_like(inputs)
    seen = torch.zeros(len(rows), width, width, dtype=torch.bool)
    for number, row in enumerate(rows):
        length = len(row.tokens)
        inputs[number, :length] = torch.tensor(row.tokens, dtype=torch.long)
        positions[number, :length] = torch.tensor(row.positions, dtype=torch.long)
        seen[number, :length, :length] = row.seen()
    starts = [number * width + place for number, row in enumerate(rows) for place in row.starts]
    heads = [number * width + place for number, row in enumerate(rows) for place in row.cls]
    lengths = torch.tensor([len(response) for response in responses], dtype=torch.long)
    steps = torch.arange(max(map(len, responses), default=0))
    mask = steps < lengths[:, None]
    targets = torch.full(mask.shape, pad)
    targets[mask] = torch.tensor([i for response in responses for i in response], dtype=torch.long)
    start = torch.tensor(starts, dtype=torch.long)[:, None]
    return Layout(
        inputs=inputs,
        positions=positions,
        seen=seen,
        targets=targets,
        target_mask=mask,
        target_index=start + steps * mask,  # [SELF] predicts a_1
        cls_index=torch.tensor(heads, dtype=torch.long),
    )
