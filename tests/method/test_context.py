"""Append-only contexts: their form, what is dropped, and what is refused."""

import pytest

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue, build_context, parse_message
from p2bot_parlai.method.tokenizers import P2botTokenizer

TOKENIZER = P2botTokenizer.train(["a b c d e f g h i j k l m n o p"] * 3, vocab_size=400)


def tokens(context) -> list[str]:
    return [TOKENIZER.backend.id_to_token(i).lstrip("Ġ") for i in context.ids]


def dialogue(turns=0, persona=("a b",)) -> Dialogue:
    made = Dialogue(persona=list(persona))
    for turn in range(turns):
        made.hear(f"c d {chr(ord('e') + turn)}")
        made.say(f"f {chr(ord('e') + turn)}")
    return made


def test_a_message_is_split_into_personas_and_utterance():
    message = parse_message("your persona: i ski.\npartner's persona: i swim.\nhello\nthere")
    assert message.persona == ["i ski."]
    assert message.partner_persona == ["i swim."]
    assert message.utterance == "hello there"


def test_the_form():
    made = Dialogue()
    made.hear("your persona: a b\nyour persona: c\nd e")
    made.say("f")
    made.hear("g")
    expected = "[PS] a b c [PE] [PARTNER] d e [SELF] f [EOS] [PARTNER] g"
    assert tokens(build_context(made, TOKENIZER)) == expected.split()


def test_the_partners_persona_stands_behind_the_own_one():
    made = Dialogue(persona=["a"], partner_persona=["b"])
    expected = "[PS] a [PE] [PARTNER] [PS] b [PE]"
    assert tokens(build_context(made, TOKENIZER)) == expected.split()


def test_a_long_newest_utterance_keeps_its_end():
    made = Dialogue(persona=["a b"])
    made.hear("c " * 5000 + "p")
    cut = build_context(made, TOKENIZER, 32)
    assert len(cut.ids) == 32
    assert tokens(cut)[:5] == ["[PS]", "a", "b", "[PE]", "[PARTNER]"]
    assert tokens(cut)[-1] == "p"


def test_a_new_persona_replaces_the_old_one_once_the_dialogue_runs():
    made = Dialogue()
    made.hear("your persona: a")
    made.hear("your persona: a\nyour persona: b\nc")
    assert made.persona == ["a", "b"]  # what is told twice counts once
    made.hear("your persona: d")
    assert made.persona == ["d"] and len(made.turns) == 1


def test_a_persona_that_leaves_no_room_for_an_utterance_is_refused():
    made = dialogue(turns=3)  # its persona takes four tokens
    with pytest.raises(P2botError, match="persona takes 4 of the 11 tokens.*--text-truncate"):
        build_context(made, TOKENIZER, 11)
    assert build_context(made, TOKENIZER, 12)


def test_the_remedy_for_a_long_persona_is_one_that_the_model_allows(monkeypatch):
    made = dialogue(turns=3)
    for longest, remedy in (
        (None, "shorten it, or raise --text-truncate to 12 or more"),
        (12, "shorten it, or raise --text-truncate to 12 or more; this model can read 12"),
        (11, "shorten it; this model can read 11"),
    ):
        monkeypatch.setattr(TOKENIZER, "longest_context", longest)
        with pytest.raises(P2botError, match=f"of the context: {remedy}$"):
            build_context(made, TOKENIZER, limit=11)


def test_whole_turns_are_dropped_and_nothing_at_all_is_empty():
    made = dialogue(turns=3)  # each exchange takes 8 tokens
    full = build_context(made, TOKENIZER).ids
    assert build_context(made, TOKENIZER, len(full) - 1).ids == full[:4] + full[8:]
    assert build_context(Dialogue(), TOKENIZER).ids == []
