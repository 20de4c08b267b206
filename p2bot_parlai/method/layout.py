"""
All turns of a dialogue in one row: what a Transmitter reads to score them in one pass.

The context is append-only, so the context of a turn is the beginning of the next turn's::

    [PS] .. [PE] [PARTNER] u_1 [SELF] a_1 [EOS] [PARTNER] u_2 [SELF] a_2 [EOS] | [CLS] [CLS]

Every a_n is predicted in place. The [CLS] of each turn stands at the end of the row, has the
position behind its response and sees nothing later. Distractors follow as branches: each
``[SELF] d [CLS]`` sees the context of its turn and itself. A turn whose context lost old
turns (it became too long) begins a row of its own.

In the original form of context (`context_style`) a response is said otherwise than
it stands in later contexts, and the head reads its last token: then a_n is a branch too::

    <pstart> .. <pend> <t1start> u_1 <t1end> a_1 <t1start> u_2 <t1end> | <start> a_1 <end> ..
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass
class Turn:
    """
    :param context: ids of s_n. :param response: ids of a_n, with [EOS] if it ended.
    :param distractors: other responses, alike, for the next-utterance head.
    """

    context: list[int]
    response: list[int]
    distractors: list[list[int]] = field(default_factory=list)


@dataclass
class PackedTurns:
    """
    M turns in P rows of T tokens. As in `p2bot_parlai.method.layout.Branches`:

    :param inputs: int (P, T). :param positions: int (P, T). :param seen: bool (P, T, T),
        which tokens each token sees.
    :param targets: int (M, R), the responses. :param target_mask: bool (M, R).
    :param target_index: int (M, R), where in the P * T tokens a target is predicted.
    :param cls_index: int (M + distractors,), where the next-utterance head reads: for each
        turn behind its response, then behind its distractors.
    """

    inputs: Tensor
    positions: Tensor
    seen: Tensor
    targets: Tensor
    target_mask: Tensor
    target_index: Tensor
    cls_index: Tensor

    def to(self, device) -> "PackedTurns":
        return PackedTurns(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def pack(turns: Sequence[Turn], self_id: int, cls_id: int | None, pad: int) -> PackedTurns:
    """
    :param turns: in order; consecutive turns of one dialogue share a row where they can.
        Neither responses nor distractors are empty.
    :param cls_id: None in the original form of context.
    """
    rows: list[list[int]] = []  # the turns of each row
    for i, turn in enumerate(turns):
        if rows and _continues(turns[rows[-1][-1]], turn, self_id, cls_id):
            rows[-1].append(i)
        else:
            rows.append([i])

    lines = [_lay_out_row([turns[i] for i in row], self_id, cls_id) for row in rows]
    inputs = pad_sequence([line.tokens for line in lines], batch_first=True, padding_value=pad)
    width = inputs.shape[1]
    seen = torch.zeros(*inputs.shape, width, dtype=torch.bool)
    for number, line in enumerate(lines):
        length = len(line.tokens)
        seen[number, :length, :length] = line.seen
    cls_index = [number * width + place for number, line in enumerate(lines) for place in line.cls]

    start = [number * width + place for number, line in enumerate(lines) for place in line.starts]
    lengths = torch.tensor([len(turn.response) for turn in turns])
    steps = torch.arange(int(lengths.max()))
    mask = steps < lengths[:, None]
    targets = torch.full(mask.shape, pad)
    targets[mask] = torch.tensor([i for turn in turns for i in turn.response])
    return PackedTurns(
        inputs=inputs,
        positions=pad_sequence([line.positions for line in lines], batch_first=True),
        seen=seen,
        targets=targets,
        target_mask=mask,
        target_index=torch.tensor(start)[:, None] + steps * mask,  # [SELF] predicts a_1
        cls_index=torch.tensor(cls_index),
    )


@dataclass
class _Row:
    """
    :param seen: bool (T, T). :param starts: places of [SELF] before each turn's response.
    :param cls: places where the head reads, as in `PackedTurns.cls_index`.
    """

    tokens: Tensor
    positions: Tensor
    seen: Tensor
    starts: list[int]
    cls: list[int]


def _lay_out_row(turns: Sequence[Turn], self_id: int, cls_id: int | None) -> _Row:
    """One row: the last turn's context and response, then what branches off."""
    last = turns[-1]
    tokens = [*last.context] if cls_id is None else [*last.context, self_id, *last.response]
    positions, starts, cls = list(range(len(tokens))), [], []
    line = len(tokens)
    branches = []  # (place, length, how much of the line they see)
    tail = [] if cls_id is None else [cls_id]
    for turn in turns:
        start = len(turn.context)
        if cls_id is None:
            starts.append(len(tokens))
            parts = [([self_id, *turn.response], start)]
        else:
            starts.append(start)
            parts = [([cls_id], start + 1 + len(turn.response))]
        parts += [([self_id, *wrong, *tail], start) for wrong in turn.distractors]
        for ids, known in parts:
            branches.append((len(tokens), len(ids), known))
            tokens += ids
            positions += range(known, known + len(ids))
            cls.append(len(tokens) - 1)
    seen = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    seen[:line, :line] = True
    for place, length, known in branches:
        seen[place : place + length, :known] = True
        seen[place : place + length, place : place + length] = True
    return _Row(torch.tensor(tokens), torch.tensor(positions), seen.tril(), starts, cls)


def _continues(turn: Turn, later: Turn, self_id: int, cls_id: int | None) -> bool:
    """Whether the later context begins with the earlier one, and its response if in place."""
    begin = turn.context if cls_id is None else [*turn.context, self_id, *turn.response]
    return later.context[: len(begin)] == begin


# ------------------------------------------------------------- branches of one context
@dataclass
class Branches:
    """
    Candidate responses, laid out one behind the other in the row of their context.

    Each is ``[SELF] x_1 .. x_n [CLS]``; it sees its context and itself, not its neighbours,
    and its positions go on where the context ends. Without a [CLS] (`ContextStyle.cls`) the
    head reads x_n. N responses of B rows, row by row:

    :param inputs: int (B, L), their tokens.
    :param offset: int (B, L), the place of a token in its response, from 0.
    :param branch: int (B, L), which response of its row a token belongs to; -1 is padding.
    :param targets: int (N, R), x_1 .. x_n. :param target_mask: bool (N, R), real ones.
    :param target_index: int (N, R), where in the B * L tokens the target is predicted.
    :param cls_index: int (N,), where in the B * L tokens the next-utterance head reads.
    """

    inputs: Tensor
    offset: Tensor
    branch: Tensor
    targets: Tensor
    target_mask: Tensor
    target_index: Tensor
    cls_index: Tensor

    def to(self, device) -> "Branches":
        return Branches(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def lay_out(
    responses: list[list[list[int]]], self_id: int, cls_id: int | None, pad: int
) -> Branches:
    """
    :param responses: for each context, its candidate responses: ids that end in [EOS]
        unless they were cut.
    :param cls_id: None: the next-utterance head reads the last token of a response.
    """
    tail = [] if cls_id is None else [cls_id]
    flat = [response for row in responses for response in row]
    lengths = torch.tensor([len(response) for response in flat])
    more = 1 + len(tail)
    width = max((sum(len(r) + more for r in row) for row in responses), default=0)
    inputs = torch.full((len(responses), width), pad)
    offset, branch = torch.zeros_like(inputs), torch.full_like(inputs, -1)
    starts = []
    for i, row in enumerate(responses):
        column = 0
        for number, response in enumerate(row):
            part = slice(column, column + len(response) + more)
            inputs[i, part] = torch.tensor([self_id, *response, *tail])
            offset[i, part] = torch.arange(len(response) + more)
            branch[i, part] = number
            starts.append(i * width + column)
            column = part.stop
    start = torch.tensor(starts, dtype=torch.long)
    steps = torch.arange(int(lengths.max()) if flat else 0)
    mask = steps < lengths[:, None]
    targets = torch.full(mask.shape, pad)
    targets[mask] = torch.tensor([i for response in flat for i in response], dtype=torch.long)
    return Branches(
        inputs=inputs,
        offset=offset,
        branch=branch,
        targets=targets,
        target_mask=mask,
        target_index=start[:, None] + steps * mask,  # [SELF] predicts x_1
        cls_index=start + lengths + len(tail),
    )
