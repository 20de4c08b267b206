"""What a visitor may send, and how often."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from p2bot_parlai.method.context import in_one_line

# control characters, and halves of characters, which no file and no answer can hold
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Refused(Exception):
    """What the page tells a visitor whose wish it does not grant; one sentence."""


@dataclass(frozen=True)
class Limits:
    """
    :param visitors: who are remembered at once. :param idle: seconds after which a visitor
        may be forgotten for another.
    :param exchanges: in one conversation. :param message: characters of one.
    :param sentences: of a persona. :param sentence: characters of one.
    :param replies_at_once: replies that are being thought of; other visitors queue.
    :param rate: requests a second that a visitor may go on with. :param burst: requests that
        may come at once before. :param patience: seconds that a request beyond these is held
        back at most; above it is refused. :param penance: seconds that a refusal takes: whoever
        floods waits for it, instead of asking again at once.
    :param body: bytes of a request.
    """

    visitors: int = 100
    idle: float = 600.0
    exchanges: int = 50
    message: int = 500
    sentences: int = 10
    sentence: int = 200
    replies_at_once: int = 4
    rate: float = 1.0
    burst: int = 10
    patience: float = 10.0
    penance: float = 2.0
    body: int = 65536

    def checked_message(self, text: object) -> str:
        """:raises Refused: for an empty message, one too long, or none at all."""
        said = _written(text)
        if not said:
            raise Refused("Say something first.")
        if len(said) > self.message:
            raise Refused(f"A message has at most {self.message} characters, not {len(said)}.")
        return said

    def checked_persona(self, text: object) -> list[str]:
        """
        :param text: one profile sentence a line.
        :raises Refused: for too many sentences, or one too long.
        """
        lines = text.splitlines() if isinstance(text, str) else []
        sentences = list(dict.fromkeys(filter(None, map(_written, lines))))
        if len(sentences) > self.sentences:
            raise Refused(
                f"A persona has at most {self.sentences} sentences, one a line, "
                f"not {len(sentences)}."
            )
        longest = max(map(len, sentences), default=0)
        if longest > self.sentence:
            raise Refused(
                f"A profile sentence has at most {self.sentence} characters, not {longest}."
            )
        return sentences


def _written(text: object) -> str:
    return in_one_line(_UNWRITABLE.sub("", text)).strip() if isinstance(text, str) else ""


class Bucket:
    """
    Lets ``burst`` requests pass at once and ``rate`` a second after them.

    :param clock: seconds, only ever forward.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic):
        self.rate, self.burst, self.clock = rate, burst, clock
        self._left, self._at = float(burst), clock()

    def take(self, patience: float) -> float | None:
        """
        Ask to pass. :return: seconds to wait before, 0 for none; None where they would be more
        than ``patience``: then nothing was taken.
        """
        now = self.clock()
        self._left = min(self.burst, self._left + (now - self._at) * self.rate)
        self._at = now
        wait = max(0.0, (1 - self._left) / self.rate)
        if wait > patience:
            return None
        self._left -= 1
        return wait

    @property
    def full(self) -> bool:
        """Whether it remembers nothing that a new one would not."""
        return self._left + (self.clock() - self._at) * self.rate >= self.burst
