"""
All turns of a dialogue in one row: what a Transmitter reads to score them in one pass.

The context is append-only, so the context of a turn is the beginning of the next turn's::

    [PS] .. [PE] [PARTNER] u_1 [SELF] a_1 [EOS] [PARTNER] u_2 [SELF] a_2 [EOS] | [CLS] [CLS]

Every a_n is predicted in place. The [CLS] of each turn stands at the end of the row, has the
position behind its response and sees nothing later. A turn whose context lost old turns
(it became too long) begins a row of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass
class Turn:
    """:param context: ids of s_n. :param response: ids of a_n, with [EOS] if it ended."""

    context: list[int]
    response: list[int]


@dataclass
class PackedTurns:
    """
    M turns in P rows of T tokens. As in `p2bot_parlai.transmitter.Branches`:

    :param inputs: int (P, T). :param positions: int (P, T). :param seen: bool (P, T, T),
        which tokens each token sees.
    :param targets: int (M, R), the responses. :param target_mask: bool (M, R).
    :param target_index: int (M, R), where in the P * T tokens a target is predicted.
    :param cls_index: int (M,), where [CLS] behind each response stands.
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


def pack(turns: Sequence[Turn], self_id: int, cls_id: int, pad: int) -> PackedTurns:
    """
    :param turns: in order; consecutive turns of one dialogue share a row where they can.
        Responses are not empty.
    """
    rows: list[list[int]] = []  # the turns of each row
    for i, turn in enumerate(turns):
        if rows and _continues(turns[rows[-1][-1]], turn, self_id):
            rows[-1].append(i)
        else:
            rows.append([i])

    tokens, positions, ends = [], [], []  # ends: (row, length) of what each [CLS] sees
    for row in rows:
        last = turns[row[-1]]
        line = [*last.context, self_id, *last.response]
        mine = [len(turns[i].context) + 1 + len(turns[i].response) for i in row]
        tokens.append(torch.tensor([*line, *[cls_id] * len(row)]))
        positions.append(torch.tensor([*range(len(line)), *mine]))
        ends.append((len(line), mine))
    inputs = pad_sequence(tokens, batch_first=True, padding_value=pad)
    width = inputs.shape[1]
    seen = torch.zeros(*inputs.shape, width, dtype=torch.bool)
    cls_index = []
    for number, (length, mine) in enumerate(ends):
        seen[number, :length, :length] = torch.ones(length, length, dtype=torch.bool).tril()
        for k, end in enumerate(mine):
            place = length + k
            seen[number, place, :end] = True
            seen[number, place, place] = True
            cls_index.append(number * width + place)

    start = [number * width + len(turns[i].context) for number, row in enumerate(rows) for i in row]
    lengths = torch.tensor([len(turn.response) for turn in turns])
    steps = torch.arange(int(lengths.max()))
    mask = steps < lengths[:, None]
    targets = torch.full(mask.shape, pad)
    targets[mask] = torch.tensor([i for turn in turns for i in turn.response])
    return PackedTurns(
        inputs=inputs,
        positions=pad_sequence(positions, batch_first=True),
        seen=seen,
        targets=targets,
        target_mask=mask,
        target_index=torch.tensor(start)[:, None] + steps * mask,  # [SELF] predicts a_1
        cls_index=torch.tensor(cls_index),
    )


def _continues(turn: Turn, later: Turn, self_id: int) -> bool:
    """Whether the later context begins with the earlier one and its response."""
    begin = [*turn.context, self_id, *turn.response]
    return later.context[: len(begin)] == begin
