"""Pieces of a growing text: none is taken back, and together they are the text."""

from p2bot_parlai.chat.conversation import pieces


def test_what_may_still_change_waits():
    # GPT's tokenizer writes contractions apart; decoding puts them together again
    texts = ["i", "i don", "i don '", "i don't", "i don't know"]
    assert list(pieces(texts)) == ["i", " don", "'t know"]
    texts = ["you", "you '", "you ' l", "you'll", "you'll see"]
    assert list(pieces(texts)) == ["you", "'ll see"]
    texts = ["say", "say '", "say ' t", "say ' tea '", "say ' tea ' now"]
    assert "".join(pieces(texts)) == texts[-1]
    assert list(pieces(["a", "a \ufffd", "a \ufffd\ufffd", "a 😀"])) == ["a", " 😀"]
