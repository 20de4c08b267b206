"""Dialogues in a file, and what the Receiver and its figure make of any text."""

import fuzzing
import pytest
import torch
from fuzzing import cases, outcome, texts
from hypothesis import example, given
from hypothesis import strategies as st

from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.scripts.relevance_map import parse_dialogues
from p2bot_parlai.tools.figures import draw_relevance_map

SOME = st.lists(texts(max_parts=3), max_size=3)
FIXED = ("i like tea.", "", " ", "\x00", "[SEP]", "i have two dogs .", "\ud800", "x" * 3000)


@pytest.fixture(scope="module")
def perceiver(tiny_receiver):
    return load_perceiver(tiny_receiver)


@cases(80)
@given(st.one_of(texts(max_parts=12), st.lists(texts(), max_size=6).map("\n".join)))
@example("your persona: i like tea.\n" + "1" * 5000 + " hello")
@example("")
def test_dialogues_of_a_file_are_read_or_refused(text):
    found, refused = outcome(parse_dialogues, text, "file")
    if refused:
        assert "dialogue" in refused
        return
    for dialogue in found:
        assert any(dialogue.persona) and any(dialogue.utterances)


@cases()
@given(
    st.lists(fuzzing.sentences(), min_size=1, max_size=3),
    st.lists(fuzzing.sentences(), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_sound_dialogue_is_read_as_it_was_written(persona, said, tabs):
    lines = [f"your persona: {s}" for s in persona]
    lines += [f"hello there\t{s}" if tabs else s for s in said]
    numbered = "\n".join(f"{n} {line}" for n, line in enumerate(lines, start=1))
    (found,) = parse_dialogues(numbered, "file")
    assert (found.persona, found.utterances) == (persona, said)


@cases(20, share=0.02)
@given(SOME, SOME)
@example([], [])
@example([""], [""])
@example(list(FIXED), list(FIXED))
def test_every_text_has_a_relevance(perceiver, utterances, persona):
    """Shapes and finite numbers; alone as among others."""
    perceiver.forget()
    U = perceiver.relevance(utterances, persona)
    assert U.shape == (len(utterances), len(persona)) and U.isfinite().all()
    if utterances and persona:
        perceiver.forget()
        alone = perceiver.relevance(utterances[-1:], persona[-1:])
        torch.testing.assert_close(alone[0, 0], U[-1, -1], atol=1e-4, rtol=1e-4)
    scores = perceiver.score(utterances, [persona] * len(utterances))
    assert scores.shape == (len(utterances),) and scores.isfinite().all()


@cases(4, share=0.0005)
@given(st.lists(texts(), min_size=1, max_size=3), st.lists(texts(), min_size=1, max_size=3))
@example(["a $ b", "\\$", "\x00"], ["$$", "\u202e"])
@example(["x " * 100_000], ["y"])
def test_a_map_is_drawn_or_refused(tmp_path_factory, utterances, sentences):
    path = str(tmp_path_factory.getbasetemp() / "map.png")
    relevance = torch.zeros(len(utterances), len(sentences)).numpy()
    outcome(draw_relevance_map, relevance, utterances, sentences, path)
