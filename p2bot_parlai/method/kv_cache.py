"""What a Transmitter remembers of contexts that it has read: keys, values and which are real.

The tensors are never changed in place: states that were handed out stay what they were.
B rows, S slots a row.

Contexts of conversations that go on, encoded: a turn reads only what is new.

A context is append-only, so most of it is what an earlier turn has read. Where it is not (old
turns were dropped, the persona changed, another conversation began), what the two begin
with in common is kept and the rest is read. Ids decide, nothing else: whoever asks, the
states are those of the context asked for. They are forgotten when the weights change.

A cache that grows in place.

transformers' DynamicCache copies all keys and values for each token that is appended; here
they are written into room behind them. Copies of a layer (`ContextStates.fork`) share that
room, and only the first that appends may write there: what was handed out stays what it was.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import Cache
from transformers.cache_utils import DynamicLayer


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


class Reader(Protocol):
    """What `ContextMemory` asks of a Transmitter."""

    def nothing_read(self) -> ContextStates: ...

    def extend(
        self, states: ContextStates, ids: Tensor, valid: Tensor
    ) -> tuple[Tensor, ContextStates]: ...

    def weights_version(self) -> tuple: ...


class ContextMemory:
    """Holds the states of one batch of conversations at most: those of the last `read`."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        self._states: ContextStates | None = None
        self._known: dict[int, tuple[int, list[int]]] = {}  # conversation -> its row, its ids
        self._weights: tuple = ()

    @torch.no_grad()
    def read(self, network: Reader, contexts: Mapping[int, list[int]]) -> ContextStates:
        """
        :param contexts: the ids of each conversation's context, by a number that stays the
            conversation's from turn to turn (its place in the batch).
        :return: their states, a row each, in this order.
        """
        if self._weights != network.weights_version():
            self.forget()
        known, states = self._known, self._states or network.nothing_read()
        self.forget()  # before anything is read: memory for one batch is enough
        rows, counts, new = [], [], []
        for conversation, ids in contexts.items():
            row, read = known.get(conversation, (0, []))
            count = in_common(read, ids)
            rows.append(row)
            counts.append(count)
            new.append(torch.tensor(ids[count:], dtype=torch.long))
        states = states.keep(torch.tensor(rows), torch.tensor(counts))
        ids = pad_sequence(new, batch_first=True)
        if ids.shape[1]:
            lengths = torch.tensor([len(row) for row in new])
            valid = torch.arange(ids.shape[1]) < lengths[:, None]
            device = states.valid.device
            states = network.extend(states, ids.to(device), valid.to(device))[1]
        self.remember(network, contexts, states)
        return states

    def remember(
        self, network: Reader, contexts: Mapping[int, list[int]], states: ContextStates
    ) -> None:
        """States that somebody else has read further. :param states: a row each, in order."""
        self._known = {name: (row, ids) for row, (name, ids) in enumerate(contexts.items())}
        self._states, self._weights = states, network.weights_version()

    def close(self, conversation: int) -> None:
        """It is over: nothing is kept for it, and no states once all are over."""
        self._known.pop(conversation, None)
        if not self._known:
            self.forget()


def in_common(read: list[int], ids: list[int]) -> int:
    """How many tokens the two begin with in common."""
    if ids[: len(read)] == read:
        return len(read)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(read, ids, strict=False)))


SPARE_SLOTS = 32  # made at once where the room is full: a response of the paper's length


class Room:
    """
    Keys and values, with free slots behind them.

    :param used: slots of them that some layer counts as its own.
    """

    def __init__(self, keys: Tensor, values: Tensor, used: int):
        self.keys, self.values, self.used = keys, values, used


class GrowingLayer(DynamicLayer):
    """Keys and values (B, heads, S, D / heads) of one block: views of a `Room`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._room: Room | None = None
        self._view: Tensor | None = None  # the keys that are a view of the room

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs):
        """Append (B, heads, T, D / heads). :return: all keys and all values."""
        if torch.is_grad_enabled() or not self.get_seq_length():
            return super().update(key_states, value_states, *args, **kwargs)
        start, count = self.keys.shape[2], key_states.shape[2]
        if not self._may_write(start, count):
            self._move(start, count)
        room, end = self._room, start + count
        room.keys[:, :, start:end] = key_states
        room.values[:, :, start:end] = value_states
        room.used = end
        self.keys, self.values = room.keys[:, :, :end], room.values[:, :, :end]
        self._view = self.keys
        return self.keys, self.values

    def _may_write(self, start: int, count: int) -> bool:
        """Whether the slots behind ours are there and nobody's."""
        room = self._room
        # rows that were selected, cropped or joined are other tensors
        mine = room is not None and self.keys is self._view
        return mine and room.used == start and start + count <= room.keys.shape[2]

    def _move(self, start: int, count: int) -> None:
        """To a room of its own, with the slots that are needed now and some to spare."""
        made = []
        for old in (self.keys, self.values):
            rows, heads, _, width = old.shape
            new = old.new_empty(rows, heads, start + count + SPARE_SLOTS, width)
            new[:, :, :start] = old
            made.append(new)
        self._room = Room(*made, used=start)


def growing_cache() -> Cache:
    """An empty cache, whose layers are made as they are first written to."""
    return Cache(layer_class_to_replicate=GrowingLayer)
