"""Who is there: every visitor has conversations, and a pace, of their own."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from p2bot_parlai.tools.web.limits import Bucket, Limits, Refused
from p2bot_parlai.tools.web.talk import Talk

CHAT, DUET = "chat", "duet"


@dataclass
class Visit:
    """:param talks: by `CHAT` and `DUET`. :param seen: when it was last asked for."""

    talks: dict[str, Talk] = field(default_factory=dict)
    seen: float = 0.0

    def replace(self, name: str, talk: Talk) -> Talk:
        """Another conversation; the one before stops."""
        if name in self.talks:
            self.talks[name].stop()
        self.talks[name] = talk
        return talk


class Visitors:
    """
    At most ``limits.visitors``; whoever was idle the longest is forgotten for a new one, but
    nobody who was there within ``limits.idle`` seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic):
        self.limits, self.clock = limits, clock
        self._visits: dict[str, Visit] = {}
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._visits)

    def all(self) -> list[Visit]:
        with self._lock:
            return list(self._visits.values())

    def find(self, key: str) -> Visit | None:
        """Somebody who is known."""
        with self._lock:
            visit = self._visits.get(key)
            if visit:
                visit.seen = self.clock()
            return visit

    def enter(self, key: str) -> Visit:
        """:raises Refused: for a new visitor where everybody's place is taken."""
        with self._lock:
            visit = self._visits.get(key)
            if visit is None:
                self._make_room()
                visit = self._visits[key] = Visit()
            visit.seen = self.clock()
            return visit

    def _make_room(self) -> None:
        if len(self._visits) < self.limits.visitors:
            return
        key = min(self._visits, key=lambda key: self._visits[key].seen)
        if self.clock() - self._visits[key].seen < self.limits.idle:
            raise Refused("All places are taken at the moment: please come back in some minutes.")
        for talk in self._visits.pop(key).talks.values():
            talk.stop()

    def pace(self, key: str) -> float | None:
        """
        How long this visitor's next request is held back, in seconds; None: it is refused.

        Pace is kept for everybody who sends, known or not, and forgotten once it says nothing.
        """
        with self._lock:
            if len(self._buckets) > 10 * self.limits.visitors:
                self._buckets = {k: b for k, b in self._buckets.items() if not b.full}
            if key not in self._buckets:
                self._buckets[key] = Bucket(self.limits.rate, self.limits.burst, self.clock)
            return self._buckets[key].take(self.limits.patience)
