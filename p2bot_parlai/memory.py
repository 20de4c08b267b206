"""
Contexts of conversations that go on, encoded: a turn reads only what is new.

A context is append-only, so most of it is what an earlier turn has read. Where it is not (old
turns were dropped, the persona changed, another conversation began), what the two begin
with in common is kept and the rest is read. Ids decide, nothing else: whoever asks, the
states are those of the context asked for. They are forgotten when the weights change.
"""

from collections.abc import Mapping
from itertools import takewhile

import torch
from torch.nn.utils.rnn import pad_sequence

from p2bot_parlai.states import ContextStates
from p2bot_parlai.transmitter import Transmitter


class ContextMemory:
    """Holds the states of one batch of conversations at most: those of the last `read`."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        self._states: ContextStates | None = None
        self._known: dict[int, tuple[int, list[int]]] = {}  # conversation -> its row, its ids
        self._weights: tuple = ()

    @torch.no_grad()
    def read(self, network: Transmitter, contexts: Mapping[int, list[int]]) -> ContextStates:
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
        self, network: Transmitter, contexts: Mapping[int, list[int]], states: ContextStates
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
