"""Whatever is said: no special token comes out of a text, and nothing that fits is lost."""

import unicodedata

import fuzzing
import pytest
from fuzzing import cases, outcome, texts
from hypothesis import example, given
from hypothesis import strategies as st
from original_files import write_vocabulary

from p2bot_parlai.chat.conversation import pieces, words
from p2bot_parlai.chat.personas import persona_text, split_persona
from p2bot_parlai.method.context import (
    Dialogue,
    build_context,
    parse_message,
    persona_tokens,
    turn_tokens,
)
from p2bot_parlai.method.context_style import APPEND, CHATML, MIN_UTTERANCE_TOKENS, ORIGINAL
from p2bot_parlai.method.tokenizers import P2botTokenizer

CORPUS = ["i have two dogs .", "hello , how are you ?", "i'm a nurse and i like tea !"]
TURNS = st.lists(st.tuples(st.booleans(), texts()), max_size=5)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Of every form: byte-level BPE, and GPT's of words, which does not know every letter."""
    folder = str(write_vocabulary(tmp_path_factory.mktemp("gpt") / "words"))
    return [
        tokenizer
        for style in (APPEND, ORIGINAL)
        for tokenizer in (
            P2botTokenizer.train(CORPUS, 400, style),
            P2botTokenizer.from_pretrained(folder, style),
        )
    ] + [P2botTokenizer.train(CORPUS, 400, CHATML)]


@cases()
@given(fuzzing.personas(), fuzzing.personas(), TURNS, st.one_of(st.none(), st.integers(2, 120)))
def test_a_context_keeps_to_its_form(tokenizers, own, partner, turns, limit):
    """At most ``limit`` ids: the persona, the newest turn and whole turns before it."""
    dialogue = Dialogue(own, partner, turns)
    for tokenizer in tokenizers:
        whole = build_context(dialogue, tokenizer)
        heads = persona_tokens(dialogue, tokenizer, tokenizer.encode)
        prompt = tokenizer.marks.prompt()
        blocks = [turn_tokens(mine, text, tokenizer, tokenizer.encode) for mine, text in turns]
        assert whole.ids == sum(blocks, heads) + prompt and whole.full_length == len(whole.ids)
        found, refused = outcome(build_context, dialogue, tokenizer, limit)
        room = (limit or len(whole.ids)) - len(heads) - len(prompt)
        if limit is None or len(whole.ids) <= limit:
            assert found == whole
        elif not tokenizer.style.predicts_in_place:
            assert found.ids == whole.ids[-limit:]
        elif room < MIN_UTTERANCE_TOKENS:
            assert "--text-truncate" in refused
        else:
            assert len(found.ids) <= limit and found.ids[: len(heads)] == heads
            kept, newest = found.ids[len(heads) :], blocks[-1]
            ends = [sum(blocks[start:], []) + prompt for start in range(len(blocks))]
            mark = 1 if tokenizer.style is APPEND else len(tokenizer.marks.user)
            cut = newest[:mark] + newest[mark:][-(room - mark) :] + prompt
            assert kept in ends or kept == cut


@cases()
@given(texts(), texts())
def test_a_chosen_persona_reaches_the_bot(own, partner):
    own, partner = split_persona(own), split_persona(partner)
    message = parse_message(persona_text(own, partner))
    assert (message.persona, message.partner_persona) == (own, partner)
    assert message.utterance is None


@cases()
@given(texts())
def test_text_goes_to_ids_and_back(tokenizers, text):
    """Byte-level BPE loses only spacing and letter case."""
    for tokenizer in tokenizers:
        ids = tokenizer.encode(text)
        assert tokenizer.special_ids.isdisjoint(ids)
        assert min(ids, default=0) >= 0 and max(ids, default=0) < len(tokenizer)
        back = tokenizer.decode(ids)
        back.encode("utf-8")
        if "Ġ" not in tokenizer.backend.get_vocab():
            continue  # GPT's words: unknown letters are lost
        if not any(unicodedata.category(c) in ("Cn", "Co") for c in text):
            text_ = text.encode("utf-8", "replace").decode()
            text_ = text_.lower() if tokenizer.style.lower else text_
            expected = unicodedata.normalize("NFC", text_)
            assert "".join(back.split()) == "".join(expected.split())


@cases()
@given(texts())
@example("don ' t")
@example("\ufffd\ufffd")
def test_pieces_join_to_the_whole(text):
    found = list(pieces(text[:length] for length in range(len(text[:60]) + 1)))
    assert "".join(found) == text[:60] and all(found)
    assert "".join(words(text)) == text.rstrip()
