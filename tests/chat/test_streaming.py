"""Pieces of a growing text: none is taken back, and together they are the text."""

import random

import pytest

from p2bot_parlai.chat.conversation import pieces, words
from p2bot_parlai.method.tokenizers import P2botTokenizer


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


def test_random_tokens_of_a_byte_level_tokenizer_lose_nothing():
    tokenizer = P2botTokenizer.train(["i don't know , she'll see", "héllo 😀 wörld"], 400)
    rng = random.Random(1)
    for _ in range(300):
        ids = [rng.randrange(7, len(tokenizer)) for _ in range(12)]
        texts = [tokenizer.decode(ids[:end]) for end in range(1, len(ids) + 1)]
        joined = "".join(pieces(texts))
        assert len(joined) == len(texts[-1])
        if "\ufffd" not in texts[-1]:  # a broken character may be mended by the next byte
            assert joined == texts[-1]
