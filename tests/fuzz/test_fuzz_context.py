"""Whatever is said, in whatever form of context: the ids are those of the rules."""

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
    turn_tokens,
)
from p2bot_parlai.method.context_style import APPEND, MIN_UTTERANCE_TOKENS, STYLES
from p2bot_parlai.method.selfplay import persona_heads
from p2bot_parlai.method.speakers import Speakers
from p2bot_parlai.method.tokenizers import P2botTokenizer, SentenceTokenizer

CORPUS = ["i have two dogs .", "hello , how are you ?", "i'm a nurse and i like tea !"]
TURNS = st.lists(st.tuples(st.booleans(), texts()), max_size=5)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Of every form: byte-level BPE, and GPT's of words, which does not know every letter."""
    folder = str(write_vocabulary(tmp_path_factory.mktemp("gpt") / "words"))
    return [
        tokenizer
        for style in STYLES.values()
        for tokenizer in (
            P2botTokenizer.train(CORPUS, 400, style),
            P2botTokenizer.from_pretrained(folder, style),
        )
    ]


def within(ids, tokenizer) -> bool:
    return all(index >= 0 for index in ids) and max(ids, default=0) < len(tokenizer)


@cases()
@given(fuzzing.personas(), fuzzing.personas(), TURNS, st.one_of(st.none(), st.integers(2, 120)))
def test_a_context_keeps_to_its_form(tokenizers, own, partner, turns, limit):
    """The limit; the persona, the newest turn and whole turns before it; no id out of a text."""
    dialogue = Dialogue(own, partner, turns)
    for tokenizer in tokenizers:
        whole = build_context(dialogue, tokenizer)
        heads, blocks = _parts(dialogue, tokenizer)
        assert whole.ids == sum(blocks, heads) and whole.full_length == len(whole.ids)
        assert within(whole.ids, tokenizer)
        _check_marks(whole.ids, dialogue, tokenizer)
        found, refused = outcome(build_context, dialogue, tokenizer, limit)
        room = (limit or len(whole.ids)) - len(heads)
        if limit is None or len(whole.ids) <= limit:
            assert found == whole
        elif not tokenizer.style.predicts_in_place:
            assert found.ids == whole.ids[-limit:]
        elif room < MIN_UTTERANCE_TOKENS:
            assert "--text-truncate" in refused
        else:
            assert len(found.ids) <= limit and found.ids[: len(heads)] == heads
            kept = found.ids[len(heads) :]
            ends = [sum(tail, []) for tail in (blocks[i:] for i in range(len(blocks)))]
            fits = [end for end in ends if len(end) <= room]
            newest = blocks[-1]
            assert kept == (fits[0] if fits else newest[:1] + newest[1:][-(room - 1) :])


@cases()
@given(fuzzing.personas(), st.lists(texts(), min_size=1, max_size=3), st.integers(12, 90))
def test_self_play_reads_what_a_chat_reads(tokenizers, persona, said, limit):
    for tokenizer in tokenizers:
        heads = persona_heads([persona], tokenizer)
        speaker = Speakers(None, tokenizer, heads, limit)
        dialogue = Dialogue(list(persona))
        for text in said:
            speaker.hear([text])
            speaker.say([[*tokenizer.encode(text), tokenizer.eos]])
            dialogue.turns += [(False, text), (True, text)]
        found, refused = outcome(speaker.contexts)
        expected, refused_too = outcome(build_context, dialogue, tokenizer, limit)
        assert refused == refused_too
        assert refused or found == [expected.ids]


def _parts(dialogue, tokenizer):
    empty = Dialogue(dialogue.persona, dialogue.partner_persona)
    head = build_context(empty, tokenizer).ids
    turns = dialogue.turns
    return head, [turn_tokens(own, text, tokenizer, tokenizer.encode) for own, text in turns]


def _check_marks(ids, dialogue, tokenizer):
    """As many special tokens as the form asks for: what people write yields none."""
    count = [ids.count(token) for token in (tokenizer.partner, tokenizer.self_, tokenizer.eos)]
    heard = sum(not own for own, _ in dialogue.turns)
    said = len(dialogue.turns) - heard
    personas = [p for p in (dialogue.persona, dialogue.partner_persona) if p]
    if tokenizer.style is APPEND:
        assert count == [heard + bool(dialogue.partner_persona), said, said]
        brackets = len(personas)
    else:
        assert count == [heard, 0, 0] and ids.count(tokenizer.marks.partner_end) == heard
        brackets = bool(personas)
    for token in (tokenizer.persona_start, tokenizer.persona_end):
        assert ids.count(token) == brackets
    assert tokenizer.pad not in ids and tokenizer.cls not in ids


# ------------------------------------------------------------------------------- messages


@cases()
@given(texts(), texts())
def test_a_chosen_persona_is_told_and_heard(own, partner):
    """What --persona says comes out of the message that tells it."""
    own, partner = split_persona(own), split_persona(partner)
    message = parse_message(persona_text(own, partner))
    assert (message.persona, message.partner_persona) == (own, partner)
    assert message.utterance is None


# -------------------------------------------------------------------------------- tokens
@cases()
@given(texts())
def test_text_goes_to_ids_and_back(tokenizers, text):
    """No special token out of a text; byte-level BPE loses nothing but form."""
    for tokenizer in tokenizers:
        ids = tokenizer.encode(text)
        assert tokenizer.special_ids.isdisjoint(ids)
        assert within(ids, tokenizer)
        back = tokenizer.decode(ids)
        back.encode("utf-8")
        if "Ġ" not in tokenizer.backend.get_vocab():
            continue  # GPT's words: unknown letters are lost
        if not any(unicodedata.category(c) in ("Cn", "Co") for c in text):
            text_ = text.encode("utf-8", "replace").decode()
            text_ = text_.lower() if tokenizer.style.lower else text_
            assert _plain(back) == _plain(unicodedata.normalize("NFC", text_))


def _plain(text: str) -> str:
    """Without what `decode` puts together again."""
    return "".join(text.split())


@cases()
@given(texts(), texts())
def test_sentences_yield_no_special_tokens(sentence_tokenizers, first, second):
    for tokenizer in sentence_tokenizers:
        alone, empty = tokenizer.encode(first), tokenizer.encode("")
        marks = set(empty)
        assert sum(index in marks for index in alone) == len(empty)
        assert within(alone, tokenizer)
        ids, segments = tokenizer.encode_pair(first, second)
        assert len(ids) == len(segments) and set(segments) <= {0, 1}


@pytest.fixture(scope="module")
def sentence_tokenizers(tmp_path_factory):
    from original_files import write_bert_vocabulary

    folder = write_bert_vocabulary(tmp_path_factory.mktemp("bert") / "words")
    return [
        SentenceTokenizer.train(CORPUS, 400),
        SentenceTokenizer.from_pretrained(str(folder)),
    ]


# ----------------------------------------------------------------------------- streaming
@cases()
@given(texts())
@example("don ' t")
@example("\ufffd\ufffd")
def test_pieces_join_to_the_whole(text):
    grown = fuzzing.prefixes(list(text[:60]))
    found = list(pieces("".join(part) for part in grown))
    assert "".join(found) == text[:60] and all(found)
    assert "".join(words(text)) == text.rstrip()
