"""Rows of unequal length as one tensor."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from p2bot_parlai.method.devices import moved


def pad(rows: Sequence[Sequence[int]], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """
    Token ids, padded at their end with 0.

    :return: int (S, T), and bool (S, T), which are real; T is at least 1.
    """
    lengths = torch.tensor([len(row) for row in rows])
    ids = pad_sequence([torch.tensor([*row, 0], dtype=torch.long) for row in rows], True)
    ids = ids[:, : max(1, ids.shape[1] - 1)]
    valid = torch.arange(ids.shape[1]) < lengths[:, None]
    return moved(ids, device), moved(valid, device)
