"""
Replies that are asked for, decoded alone or, where many are asked for at once, as one batch.

A reply draws its tokens with the generator of its conversation, so it does not depend on what
shares its batch, but for the last digits of floating point.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from parlai.core.opt import Opt

from p2bot_parlai.agents.scoring import Responder
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.chance import Chance
from p2bot_parlai.method.kv_cache import ContextMemory, read_each
from p2bot_parlai.method.padding import pad

AT_ONCE = 32  # replies in a batch
GATHERING = 0.01  # seconds without another request, after which a batch begins


@dataclass(frozen=True)
class Decoding:
    """
    How a conversation decodes where that is not the way of the loaded model.

    :param temperature: above 0 samples from the softmax at this temperature, 0 takes the likeliest
        token. :param top_p: samples from the likeliest tokens that have p together.
    :param max_tokens: of a reply; the model's ``--label-truncate`` holds too.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 <= self.temperature < float("inf"):
            raise P2botError(f"temperature={self.temperature} is not 0 or larger")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise P2botError(f"top_p={self.top_p} is not above 0 and at most 1")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise P2botError(f"max_tokens={self.max_tokens} is not at least 1")

    def longest(self, opt: Opt) -> int:
        """Tokens of a reply, at most, without [EOS]."""
        own = opt["label_truncate"] - 1
        return own if self.max_tokens is None else min(own, self.max_tokens)

    def responder(self, agent: TransmitterAgent) -> Responder:
        """The agent's own, or one with other options."""
        if self == Decoding():
            return agent.responder
        changed: dict[str, Any] = {"label_truncate": self.longest(agent.opt) + 1}
        if self.temperature == 0:
            changed |= {"inference": "greedy", "temperature": 1.0, "override": {}}
        elif self.temperature is not None or self.top_p is not None:
            changed |= {"inference": "nucleus", "topp": self.top_p or 1.0, "override": {}}
            changed["temperature"] = self.temperature or 1.0
        opt = Opt({**agent.opt, **changed})
        found = Responder(agent.network, agent.dict, opt, agent.beam_block_list)
        found.budget = agent.budget
        return found


@dataclass(eq=False)
class Asked:
    """
    One reply that is asked for.

    :param memory: of its conversation. :param context: ids. :param blocked: ids, what
        ``--beam-context-block-ngram`` looks at. :param said: by the bot before, what
        ``--block-said-before`` looks at. :param chance: what tokens are drawn with.

    ``heard`` is where a batch puts its ids as they grow, an error, or None at the end; ``left``
    whether nobody listens any more.
    """

    memory: ContextMemory
    context: list[int]
    blocked: list[int]
    said: list[str]
    chance: Chance
    decoding: Decoding
    heard: SimpleQueue = field(default_factory=SimpleQueue)
    left: bool = False


def grow(agent: TransmitterAgent, asked: Sequence[Asked]) -> Iterator[dict[int, list[int]]]:
    """Replies with the same `Decoding`, together; see `Responder.grow`."""
    responder = asked[0].decoding.responder(agent)
    states = read_each(agent.network, [(one.memory, one.context) for one in asked])
    blocked, _ = pad([one.blocked for one in asked], "cpu")
    said, chances = [one.said for one in asked], [one.chance for one in asked]
    yield from responder.grow(states, blocked, said, chances)


class Batching:
    """
    Decodes what conversations in many threads ask for in one thread, as batches: a context
    manager, which at its end lets the replies finish that were asked for.

    :param lock: held for each token, by whoever uses the network.
    """

    def __init__(self, agent: TransmitterAgent, lock: threading.RLock):
        self._agent, self._lock = agent, lock
        self._waiting: list[Asked] = []
        self._open, self._last = True, 0  # replies in the last batch
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="replies", daemon=True)

    def __enter__(self) -> "Batching":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def grow(self, asked: Asked) -> Iterator[list[int]]:
        """The ids of a reply, token by token."""
        with self._changed:
            if not self._open:
                raise P2botError("the server is stopping")
            self._waiting.append(asked)
            self._changed.notify()
        try:
            while (heard := asked.heard.get()) is not None:
                if isinstance(heard, Exception):
                    raise heard
                yield heard
        finally:
            asked.left = True

    def _work(self) -> None:
        while batch := self._next():
            try:
                self._decode(batch)
            except Exception as error:  # whoever asked has to know
                for one in batch:
                    one.heard.put(error)

    def _next(self) -> list[Asked]:
        """The longest waiting, with all that are decoded alike; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._open)
            # where several talk at once, their next requests come one after the other
            while self._last > 1 and len(self._waiting) < AT_ONCE:
                if not self._changed.wait(GATHERING):
                    break
            alike = (one for one in self._waiting if one.decoding == self._waiting[0].decoding)
            batch = [one for _, one in zip(range(AT_ONCE), alike, strict=False)]
            self._waiting = [one for one in self._waiting if one not in batch]
            self._last = len(batch)
            return batch

    def _decode(self, batch: Sequence[Asked]) -> None:
        steps, growing = grow(self._agent, batch), set(range(len(batch)))
        while any(not batch[row].left for row in growing):
            with self._lock:
                step = next(steps, {})
            for row in growing - step.keys():  # complete
                batch[row].heard.put(None)
            growing &= step.keys()
            for row in growing:
                batch[row].heard.put(step[row])
