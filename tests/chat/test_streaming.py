"""Pieces of a growing text: none is taken back, and together they are the text."""

import pytest

from p2bot_parlai.chat.conversation import pieces, words


def grown(text):
    """A text that grows by one character."""
    return [text[:end] for end in range(len(text) + 1)]


@pytest.mark.parametrize(
    "text", ["", "hello", "i like tea .", "don't you ?", "a\nb", "it's ' so '"]
)
def test_joined_they_are_the_text(text):
    assert "".join(pieces(grown(text))) == text
    assert all(pieces(grown(text)))
    assert "".join(words(text)) == text.rstrip()


def test_what_may_still_change_waits():
    # GPT's tokenizer writes contractions apart; decoding puts them together again
    texts = ["i", "i don", "i don '", "i don't", "i don't know"]
    assert list(pieces(texts)) == ["i", " don", "'t know"]
    texts = ["you", "you '", "you ' l", "you'll", "you'll see"]
    assert list(pieces(texts)) == ["you", "'ll see"]
    texts = ["say", "say '", "say ' t", "say ' tea '", "say ' tea ' now"]
    assert "".join(pieces(texts)) == texts[-1]
    assert list(pieces(["a", "a \ufffd", "a \ufffd\ufffd", "a 😀"])) == ["a", " 😀"]
