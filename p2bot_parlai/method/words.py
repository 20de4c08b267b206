"""A text as words and as sentences, in any language."""

import unicodedata
from collections.abc import Sequence

import regex

# whose words are not separated by spaces
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
)
_BOUNDARY = regex.compile(r"(?V1w)\b")
_SAYS_SOMETHING = regex.compile(r"[\p{L}\p{N}\p{M}\p{So}]")
_SENTENCE_END = regex.compile(
    r"\n|(?<=[.!?…][\"'”’)]*)\s+|(?<=[。！？｡][”’」』）]*)(?![。！？｡”’」』）])"
)


def tokens(text: str) -> list[str]:
    """
    What stands between spaces; in scripts that are written without spaces (Chinese, Japanese,
    Thai, Lao, Khmer, Burmese) each character.
    """
    return _UNSPACED.sub(r" \g<0> ", text).split()


def is_unspaced(text: str) -> bool:
    """Whether a text has characters of a script that is written without spaces."""
    return bool(_UNSPACED.search(text))


def unicode_words(text: str) -> list[str]:
    """
    The words of a text by Unicode's segmentation (UAX 29), in lower case, without punctuation.

    Chinese characters and hiragana are a word each, as in sacrebleu's tokenizer for Chinese;
    katakana stay together.
    """
    text = unicodedata.normalize("NFC", text).lower()
    return [part for part in _BOUNDARY.split(text) if _SAYS_SOMETHING.search(part)]


def sentences(text: str) -> list[str]:
    """The sentences of a text, one or more a line, also where 。！？ end them without a space."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def ngrams(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """The n-grams of a text, in order; none for n = 0."""
    return [tuple(words[i : i + order]) for i in range(len(words) - order + 1)] if order else []
