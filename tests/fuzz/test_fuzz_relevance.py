"""Utterances and profile sentences of all kinds: what the Receiver and its figures make of them."""

import fuzzing
import pytest
import torch
from fuzzing import cases, outcome, texts
from hypothesis import example, given
from hypothesis import strategies as st
from parlai.core.message import Message

from p2bot_parlai import P2Bot
from p2bot_parlai.agents.ir_perception import IrPerceptionAgent
from p2bot_parlai.agents.perception import Question
from p2bot_parlai.agents.receiver import training_candidates
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.scripts.relevance_map import parse_dialogues
from p2bot_parlai.tools.figures import draw_relevance_map

SOME = st.lists(texts(max_parts=3), max_size=3)
FIXED = ("i like tea.", "", " ", "\x00", "[SEP]", "i have two dogs .", "\ud800", "x" * 3000)


@pytest.fixture(scope="module")
def perceiver(tiny_receiver):
    return load_perceiver(tiny_receiver)


# --------------------------------------------------------------------------------- files
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


# ------------------------------------------------------------------------------ relevance
@cases(20, share=0.02)
@given(SOME, SOME, st.lists(SOME, max_size=3))
@example([], [], [])
@example([""], [""], [[]])
@example(list(FIXED), list(FIXED), [list(FIXED), [], [""]])
def test_every_text_has_a_relevance(perceiver, utterances, persona, others):
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
    dialogues = [utterances, [], *others]
    candidates = [[persona, []], [], *([other] for other in others)]
    for found, personas in zip(
        perceiver.cumulative(dialogues, candidates), candidates, strict=True
    ):
        assert found.shape == (len(personas),) and found.isfinite().all()
    found = perceiver.sentence_relevance(dialogues, persona)
    assert found.shape == (len(dialogues), len(persona)) and found.isfinite().all()
    assert perceiver.cumulative([], []) == []
    assert perceiver.sentence_relevance([], persona).shape == (0, len(persona))


@pytest.fixture(scope="module")
def perceiving(tiny_model, tiny_receiver):
    return P2Bot.load(tiny_model, receiver=tiny_receiver)


@cases(20, share=0.01)
@given(SOME, SOME, st.integers(-1, 4))
def test_an_impression_is_of_the_bank(perceiving, utterances, bank, top):
    found, refused = outcome(perceiving.impression, utterances, bank, top)
    if not refused:
        assert len(found) == min(top, len(set(bank)))
        assert all(one.sentence in bank and one.utterance in utterances for one in found)


# ------------------------------------------------------------------------------ questions
@st.composite
def questions(draw) -> dict:
    candidates = draw(st.lists(texts(), max_size=4))
    message = {"text": draw(texts()), "label_candidates": candidates}
    if candidates and draw(st.booleans()):
        message["labels"] = [draw(st.sampled_from(candidates))]
    elif draw(st.booleans()):
        message["labels"] = [draw(texts())]
    return message


@cases(40)
@given(st.lists(questions(), min_size=1, max_size=3), st.booleans())
@example([{"text": "hi", "label_candidates": ["a"], "labels": ["b"]}], False)
def test_questions_are_learnt_from_or_refused(messages, whole_batch):
    read, refused = outcome(lambda: [Question.read(Message(m)) for m in messages])
    if refused:
        return
    for question in read:
        assert len(question.people) == len(question.candidates)
    if all(question.truth is not None for question in read):
        personas, allowed = training_candidates(read, whole_batch)
        assert len(personas) == len(read) and not allowed[:, 0].any()


@cases()
@given(questions())
@example({"text": "hi", "label_candidates": ["?", "..."], "profile_sentences": ["!"]})
def test_tf_idf_ranks_or_refuses(message):
    agent = IrPerceptionAgent({"model": "p2bot/ir_perception"})
    agent.observation = Message({**message, "episode_done": True})
    reply, refused = outcome(agent.act)
    if not refused:
        assert sorted(reply["text_candidates"]) == sorted(message["label_candidates"])


# ---------------------------------------------------------------------- who is who, words


# --------------------------------------------------------------------------------- figure
@cases(4, share=0.0005)
@given(st.lists(texts(), min_size=1, max_size=3), st.lists(texts(), min_size=1, max_size=3))
@example(["a $ b", "\\$", "\x00"], ["$$", "\u202e"])
@example(["x " * 100_000], ["y"])
def test_a_map_is_drawn_or_refused(tmp_path_factory, utterances, sentences):
    path = str(tmp_path_factory.getbasetemp() / "map.png")
    relevance = torch.zeros(len(utterances), len(sentences)).numpy()
    outcome(draw_relevance_map, relevance, utterances, sentences, path)
