"""
What a Transmitter remembers of contexts that it has read: keys, values and which are real.

The tensors are never changed in place: states that were handed out stay what they were.
B rows, S slots a row.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional


@dataclass
class ContextStates:
    """
    What the backbone remembers of a batch of contexts.

    :param cache: keys and values of S slots a row, in a transformers Cache.
    :param valid: bool (B, S), which slots hold a real token.
    :param next_position: int (B,), where the next token of each row stands.
    """

    cache: object
    valid: Tensor
    next_position: Tensor

    def fork(self) -> "ContextStates":
        """A copy that can be extended without touching this one; tensors are shared."""
        cache = copy.copy(self.cache)
        cache.layers = [copy.copy(layer) for layer in self.cache.layers]
        return replace(self, cache=cache)

    def select(self, rows: Tensor) -> "ContextStates":
        """Rows in another order, left out or repeated: rows is int (B',)."""
        rows = rows.to(self.valid.device)
        if _in_order(rows, len(self.valid)):
            return self  # nothing to move
        states = self.fork()
        states.cache.reorder_cache(rows)
        return replace(states, valid=self.valid[rows], next_position=self.next_position[rows])

    def keep(self, rows: Tensor, counts: Tensor) -> "ContextStates":
        """
        The beginnings of rows, without the padding in between.

        :param rows: int (B',), as in `select`.
        :param counts: int (B',), how many real tokens stay of each.
        """
        rows, counts = rows.to(self.valid.device), counts.to(self.valid.device)
        width = int(counts.max())
        valid = torch.arange(width, device=counts.device) < counts[:, None]
        if torch.equal(valid, self.valid) and _in_order(rows, len(self.valid)):
            return self  # nothing to move
        states = self.fork()
        if width == 0:
            states.cache.layers = []
        # real tokens to the front, in their order
        slots = (~self.valid[rows]).long().argsort(dim=1, stable=True)[:, :width]
        for layer in states.cache.layers:
            layer.keys = layer.keys[rows[:, None], :, slots].transpose(1, 2)
            layer.values = layer.values[rows[:, None], :, slots].transpose(1, 2)
        return ContextStates(states.cache, valid, counts)

    @staticmethod
    def join(parts: Sequence["ContextStates"]) -> "ContextStates":
        """The rows of all parts, one part behind the other; shorter ones are padded."""
        if len(parts) == 1:
            return parts[0]
        width = max(part.valid.shape[1] for part in parts)
        missing = [width - part.valid.shape[1] for part in parts]
        joined = parts[0].fork()
        for number, layer in enumerate(joined.cache.layers):
            own = [part.cache.layers[number] for part in parts]
            # keys and values are (B, heads, S, D / heads)
            for name in ("keys", "values"):
                padded = [
                    functional.pad(vars(part)[name], (0, 0, 0, more))
                    for part, more in zip(own, missing, strict=True)
                ]
                setattr(layer, name, torch.cat(padded))
        valid = [functional.pad(p.valid, (0, more)) for p, more in zip(parts, missing, strict=True)]
        return ContextStates(
            joined.cache, torch.cat(valid), torch.cat([part.next_position for part in parts])
        )


def _in_order(rows: Tensor, size: int) -> bool:
    """Whether these are all rows, in their order."""
    return torch.equal(rows, torch.arange(size, device=rows.device))
