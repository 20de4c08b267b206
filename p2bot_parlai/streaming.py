"""A text that grows token by token, as pieces that never have to be taken back."""

import re
from collections.abc import Iterable, Iterator

# What the next token may still change: half a character of several bytes, and a contraction,
# which GPT's tokenizer writes as "don ' t" and `P2botTokenizer.decode` puts together again.
_UNSETTLED = re.compile(r"(?:\s*['’]\s*\w{0,2}|\s*['’]?\s*\w*\ufffd+)$")


def pieces(texts: Iterable[str]) -> Iterator[str]:
    """
    What each text adds to the one before.

    :param texts: the text so far, again and again; the last one is whole.
    :return: pieces, none of them empty; joined they are the last text.
    """
    said = text = ""
    for text in texts:
        settled = _UNSETTLED.sub("", text)
        if len(settled) > len(said) and settled.startswith(said):
            yield settled[len(said) :]
            said = settled
    if len(text) > len(said):
        yield text[len(said) :]


def words(text: str) -> Iterator[str]:
    """A whole text word by word, each with the spaces before it."""
    yield from re.findall(r"\s*\S+", text)
