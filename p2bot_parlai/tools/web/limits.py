"""What a visitor may send."""

import re
from dataclasses import dataclass

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import in_one_line

# control characters and lone surrogates, which no file can hold
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Refused(P2botError):
    """Why the page does not do what a visitor asks; one sentence."""


@dataclass(frozen=True)
class Limits:
    """
    :param visitors: conversations kept at once; the longest unused are dropped.
    :param exchanges: per conversation. :param message: characters.
    :param sentences: per persona. :param sentence: characters.
    :param replies_at_once: that are generated; other requests wait in the queue.
    :param body: bytes of a request.
    """

    visitors: int = 100
    exchanges: int = 50
    message: int = 500
    sentences: int = 10
    sentence: int = 200
    replies_at_once: int = 4
    body: int = 65536

    def checked_message(self, text: object) -> str:
        """:raises Refused: for an empty message, or one too long."""
        said = _written(text)
        if not said:
            raise Refused("Write a message first.")
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
