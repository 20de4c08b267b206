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


def test_no_persona_no_bracket_and_nothing_at_all_is_empty():
    made = Dialogue()
    assert build_context(made, TOKENIZER).ids == []
    made.hear("c")
    assert tokens(build_context(made, TOKENIZER)) == ["[PARTNER]", "c"]


def test_a_context_is_a_prefix_of_the_next_turns():
    made = dialogue(turns=2)
    before = build_context(made, TOKENIZER).ids
    made.hear("m")
    after = build_context(made, TOKENIZER).ids
    made.say("n o")
    assert after[: len(before)] == before
    assert build_context(made, TOKENIZER).ids[: len(after)] == after


def test_whole_oldest_turns_go_first_and_the_persona_never():
    made = dialogue(turns=6)
    full = build_context(made, TOKENIZER)
    head = ["[PS]", "a", "b", "[PE]"]
    assert len(full.ids) == full.full_length == 4 + 6 * (4 + 4)
    for limit in range(16, full.full_length):
        cut = build_context(made, TOKENIZER, limit)
        assert len(cut.ids) <= limit and cut.full_length == full.full_length
        assert tokens(cut)[:4] == head
        kept = cut.ids[4:]
        assert kept == full.ids[-len(kept) :]
        assert tokens(cut)[4] in ("[PARTNER]", "[SELF]")  # no turn is cut in half
        # one turn more would not have fitted
        assert len(cut.ids) + 4 > limit


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
