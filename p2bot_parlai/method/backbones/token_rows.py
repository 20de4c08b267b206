"""
Rows of an embedding that adapters have for themselves: those of the special tokens, which a
frozen backbone does not know. S tokens have own rows of width D.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from p2bot_parlai.method.backbones.adapters import names_on


class TokenRows(nn.Module):
    """
    An embedding, or output matrix, in which adapters have rows of their own for some tokens.

    :param base: the backbone's module. :param tokens: ids of the S tokens with own rows.
    """

    base: Any  # transformers' classes have no common type
    tokens: Tensor

    def __init__(self, base: nn.Module, tokens: Sequence[int]):
        super().__init__()
        self.base = base
        self.rows = nn.ParameterDict()  # of each adapter: (S, D)
        self.register_buffer("tokens", torch.tensor(tokens), persistent=False)

    @property
    def weight(self) -> Tensor:
        """That of the base."""
        return self.base.weight

    def add(self, name: str, below: Sequence[str] = ()) -> None:
        """:param below: adapters whose newest rows the new ones begin as, before the base's."""
        rows = self.newest(below)
        start = self.base.weight[self.tokens] if rows is None else rows
        self.rows[name] = nn.Parameter(start.detach().float().clone())

    def newest(self, names: Sequence[str]) -> Tensor | None:
        """Those of the last of these adapters that has rows: (S, D)."""
        found = [name for name in names if name in self.rows]
        return self.rows[found[-1]] if found else None

    def own(self) -> Tensor | None:
        """Those of this call."""
        return self.newest(names_on())


class TokenEmbedding(TokenRows):
    """int (B, T) -> (B, T, D)"""

    slots: Tensor

    def __init__(self, base: Any, tokens: Sequence[int]):
        super().__init__(base, tokens)
        slots = torch.full((base.weight.shape[0],), -1)
        slots[self.tokens] = torch.arange(len(tokens))
        self.register_buffer("slots", slots, persistent=False)  # of each token, -1: none
        # the same kind of module: some families scale what they look up
        no_weight = nn.Parameter(torch.empty(0, 0), requires_grad=False)
        self.small = copy.deepcopy(base, {id(base.weight): no_weight})
        self.small.padding_idx = None

    def forward(self, ids: Tensor) -> Tensor:
        embedded, rows = self.base(ids), self.own()
        if rows is None:
            return embedded
        slots = self.slots[ids]
        special = functional_call(self.small, {"weight": rows}, (slots.clamp(min=0),))
        return torch.where((slots >= 0)[..., None], special.to(embedded), embedded)


class TokenLogits(TokenRows):
    """
    (..., D) -> (..., V)

    :param tied: the embedding whose rows are the output's too.
    """

    def __init__(self, base: nn.Module, tokens: Sequence[int], tied: TokenEmbedding | None):
        super().__init__(base, tokens)
        self._tied = [tied]  # in a list: its rows are not this module's

    @property
    def tied(self) -> TokenEmbedding | None:
        return self._tied[0]

    def own(self) -> Tensor | None:
        return self.tied.own() if self.tied else super().own()

    def forward(self, hidden: Tensor) -> Tensor:
        logits, rows = self.base(hidden), self.own()
        if rows is not None:
            bias = self.base.bias
            special = functional.linear(hidden, rows, None if bias is None else bias[self.tokens])
            logits = logits.index_copy(-1, self.tokens, special.to(logits))
        return logits


class TiedHead(nn.Module):
    """
    The output matrix of a backbone whose token embedding is that matrix.

    autocast keeps no copies of frozen weights, so this keeps its own.
    """

    bias = None

    def __init__(self, embedding: Any):
        super().__init__()
        self._embedding = [embedding]  # in a list: it is no part of this module
        self._cast: tuple[Tensor, int, Tensor] | None = None

    @property
    def weight(self) -> Tensor:
        return self._embedding[0].weight

    def forward(self, hidden: Tensor) -> Tensor:
        weight, kind = self.weight, hidden.device.type
        if weight.requires_grad or not torch.is_autocast_enabled(kind):
            self._cast = None
        else:
            weight = self._copy(torch.get_autocast_dtype(kind))
        return functional.linear(hidden, weight)

    def _copy(self, dtype: torch.dtype) -> Tensor:
        weight = self.weight
        # the weights are held, so that no others can lie where these lay
        if self._cast is not None:
            source, version, copied = self._cast
            same = source.data_ptr() == weight.data_ptr() and version == weight._version
            if same and copied.dtype == dtype:
                return copied
        self._cast = (weight.detach(), weight._version, weight.detach().to(dtype))
        return self._cast[2]
