"""
Cached keys and values of contexts, so that a turn reads only what is new. B rows, S slots per row.

- `ContextStates`: the keys and values of a batch of contexts. Their tensors are never modified.
- `ContextMemory` keeps them from turn to turn. It reuses the longest common prefix of the old and
  the new context, usually all of the old one, and reads the rest. Changed weights invalidate it.
- `growing_cache` appends in place, into spare slots, where transformers' DynamicCache copies all
  keys and values for each token. Copies of a layer (`ContextStates.fork`) share the slots, and
  only the first to append writes there.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from p2bot_parlai.method.devices import moved
from p2bot_parlai.method.padding import pad
from p2bot_parlai.method.pieces import pieces


@dataclass
class ContextStates:
    """
    A batch of encoded contexts.

    :param cache: keys and values of S slots per row, in a transformers Cache.
    :param valid: bool (B, S), which slots hold a real token.
    :param next_position: int (B,), the position of the next token of each row.
    """

    cache: Any
    valid: Tensor
    next_position: Tensor

    def fork(self) -> "ContextStates":
        """A copy that can be extended without changing this one; tensors are shared."""
        cache = copy.copy(self.cache)
        cache.layers = [copy.copy(layer) for layer in self.cache.layers]
        return replace(self, cache=cache)

    def select(self, rows: Tensor) -> "ContextStates":
        """
        Rows reordered, dropped or repeated.

        :param rows: int (B',), rather on the CPU: it waits for a GPU to know what they are.
        """
        if _in_order(rows, len(self.valid)):
            return self  # nothing to move
        rows = moved(rows, self.valid.device)
        states = self.fork()
        states.cache.reorder_cache(rows)
        return replace(states, valid=self.valid[rows], next_position=self.next_position[rows])

    def keep(self, rows: Tensor, counts: Tensor) -> "ContextStates":
        """
        Prefixes of rows, without padding.

        :param rows: int (B',), as in `select`.
        :param counts: int (B',), how many real tokens of each to keep.
        """
        width, in_order = int(counts.max()), _in_order(rows, len(self.valid))
        rows, counts = (moved(tensor, self.valid.device) for tensor in (rows, counts))
        valid = torch.arange(width, device=counts.device) < counts[:, None]
        if in_order and torch.equal(valid, self.valid):
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
        """The rows of all parts, in order; shorter ones are padded."""
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
    """Whether these are all rows, in order."""
    return torch.equal(rows, torch.arange(size, device=rows.device))


class Reader(Protocol):
    """What `ContextMemory` asks of a Transmitter."""

    def nothing_read(self) -> ContextStates: ...

    def extend(
        self, states: ContextStates, ids: Tensor, valid: Tensor
    ) -> tuple[Tensor, ContextStates]: ...

    def weights_version(self) -> tuple: ...


# padded tokens of contexts that are read in one pass: a processor gains nothing by more
READ_AT_ONCE = 512


class ContextMemory:
    """Holds the states of one batch of conversations: those of the last `read`."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._states: ContextStates | None = None
        self._known: dict[int, tuple[int, list[int]]] = {}  # conversation -> its row, its ids
        self._weights: tuple = ()

    @torch.no_grad()
    def read(self, network: Reader, contexts: Mapping[int, list[int]]) -> ContextStates:
        """
        :param contexts: token ids of each context, by a number that identifies the conversation
            from turn to turn (its place in the batch).
        :return: their states, a row each, in this order.
        """
        if self._weights != network.weights_version():
            self.forget()
        known, states = self._known, self._states or network.nothing_read()
        self.forget()  # before reading: there is memory for one batch only
        rows, counts, new = [], [], []
        for conversation, ids in contexts.items():
            row, read = known.get(conversation, (0, []))
            count = in_common(read, ids)
            rows.append(row)
            counts.append(count)
            new.append(ids[count:])
        states = states.keep(torch.tensor(rows), torch.tensor(counts))
        if any(new):
            states = network.extend(states, *pad(new, states.valid.device))[1]
        self.remember(network, contexts, states)
        return states

    def unread(self, ids: list[int], weights: tuple) -> int:
        """How many tokens of its one conversation's context are not read. :param weights: now."""
        _, read = self._known.get(0, (0, [])) if weights == self._weights else (0, [])
        return len(ids) - in_common(read, ids)

    @staticmethod
    def join(memories: Sequence["ContextMemory"], weights: tuple) -> "ContextMemory":
        """Of memories of one conversation each: they are numbered. :param weights: now."""
        joined = ContextMemory()
        parts: list[ContextStates] = []
        for number, memory in enumerate(memories):
            if memory._states and memory._weights == weights:
                joined._known[number] = (len(parts), memory._known[0][1])
                parts.append(memory._states)
        joined._states = ContextStates.join(parts) if parts else None
        joined._weights = weights
        return joined

    def remember(
        self, network: Reader, contexts: Mapping[int, list[int]], states: ContextStates
    ) -> None:
        """Keep states that the caller has extended. :param states: a row each, in order."""
        self._known = {name: (row, ids) for row, (name, ids) in enumerate(contexts.items())}
        self._states, self._weights = states, network.weights_version()


def read_each(
    network: Reader, contexts: Sequence[tuple[ContextMemory, list[int]]]
) -> ContextStates:
    """
    Read contexts of conversations that each have a memory of their own, together.

    :param contexts: B memories of one conversation each, with the ids of its context.
    :return: their states, a row each, in this order.
    """
    version = network.weights_version()
    unread = [memory.unread(ids, version) for memory, ids in contexts]
    parts: list[ContextStates] = []
    order: list[int] = []
    for piece in pieces(unread, READ_AT_ONCE):
        there = [contexts[row] for row in piece]
        together = ContextMemory.join([memory for memory, _ in there], version)
        states = together.read(network, dict(enumerate(ids for _, ids in there)))
        for row, (memory, ids) in enumerate(there):
            own = states.keep(torch.tensor([row]), torch.tensor([len(ids)]))
            memory.remember(network, {0: ids}, own)
        parts.append(states)
        order += piece
    return ContextStates.join(parts).select(torch.tensor(order).argsort())


def in_common(read: list[int], ids: list[int]) -> int:
    """Length of the common prefix in tokens."""
    if ids[: len(read)] == read:
        return len(read)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(read, ids, strict=False)))


SPARE_SLOTS = 32  # added when the room is full: a response of the paper's length


@dataclass
class Room:
    """
    Keys and values with spare slots.

    :param used: slots that belong to some layer.
    """

    keys: Tensor
    values: Tensor
    used: int


class GrowingLayer(DynamicLayer):
    """Keys and values (B, heads, S, D / heads) of one block: views of a `Room`."""

    keys: Tensor
    values: Tensor
    _room: Room | None = None
    _view: Tensor | None = None  # the keys, if they are a view of the room

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append (B, heads, T, D / heads). :return: all keys and all values."""
        # rotary positions leave keys in fp32, which attention would cast again at every token
        kind = key_states.device.type
        if torch.is_autocast_enabled(kind):
            key_states = key_states.to(torch.get_autocast_dtype(kind))
        if torch.is_grad_enabled() or not self.get_seq_length():
            return super().update(key_states, value_states, *args, **kwargs)
        start, count = self.keys.shape[2], key_states.shape[2]
        room, end = self._room, start + count
        # cropped or joined rows are other tensors than the view
        free = room and self.keys is self._view and room.used == start
        if room is None or not free or end > room.keys.shape[2]:
            room = self._move(None, end)
        room.keys[:, :, start:end] = key_states
        room.values[:, :, start:end] = value_states
        self._show(room, end)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Rows chosen, into a new room: the next token is not another copy of all."""
        if torch.is_grad_enabled() or not self.get_seq_length():
            return super().reorder_cache(beam_idx)
        end = self.keys.shape[2]
        self._show(self._move(beam_idx, end), end)

    def _move(self, rows: Tensor | None, size: int) -> Room:
        self._room = Room(_grown(self.keys, rows, size), _grown(self.values, rows, size), 0)
        return self._room

    def _show(self, room: Room, end: int) -> None:
        room.used = end
        self.keys, self.values = room.keys[:, :, :end], room.values[:, :, :end]
        self._view = self.keys


def _grown(old: Tensor, rows: Tensor | None, size: int) -> Tensor:
    """A copy of all rows, or some, with room for ``size`` slots, and some to spare."""
    count, heads, start, width = old.shape
    count = count if rows is None else len(rows)
    new = old.new_empty(count, heads, size + SPARE_SLOTS, width)
    if rows is None:
        new[:, :, :start] = old
    else:
        torch.index_select(old, 0, rows, out=new[:, :, :start])
    return new


def growing_cache() -> Cache:
    """An empty cache, whose layers are made as they are first written to."""
    return Cache(layer_class_to_replicate=GrowingLayer)
