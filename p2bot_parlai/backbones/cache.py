"""
A cache that grows in place.

transformers' DynamicCache copies all keys and values for each token that is appended; here
they are written into room behind them. Copies of a layer (`ContextStates.fork`) share that
room, and only the first that appends may write there: what was handed out stays what it was.
"""

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

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
