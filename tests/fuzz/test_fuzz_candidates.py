"""Lists of candidates: none, one, blank, the same again, very many; inline and fixed."""

import re

import fuzzing
import pytest
import tiny
from fuzzing import cases, outcome, texts
from hypothesis import example, given
from hypothesis import strategies as st
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message

from p2bot_parlai import P2Bot

ONE = st.one_of(texts(max_parts=3), st.sampled_from(("", " ", "\n", "yes", "yes", "no")))
SOME = st.lists(ONE, max_size=5)
MANY = st.tuples(SOME, st.sampled_from((33, 64, 200))).map(lambda t: (t[0] or [""]) * t[1])
CANDIDATES = st.one_of(SOME, SOME, SOME, MANY)
LABELS = st.lists(ONE, max_size=2)
TEXTS = st.one_of(st.none(), texts(max_parts=4), texts(max_parts=4).map("your persona: ".__add__))
ROWS = st.lists(st.tuples(TEXTS, LABELS, CANDIDATES), min_size=1, max_size=3)


@pytest.fixture(scope="module", params=["append", "original"])
def ranker(request, tiny_model, original_style_model):
    path = {"append": tiny_model, "original": original_style_model}[request.param]
    given_ = {"loglevel": "error", "rank_candidates": True, "skip_generation": True}
    return create_agent_from_model_file(path, given_)


def messages(rows, kind: str) -> list[Message]:
    found = []
    for text, labels, candidates in rows:
        told = {"text": text, kind: labels, "label_candidates": candidates, "episode_done": True}
        found.append(Message({k: v for k, v in told.items() if v is not None}))
    return found


def observed(agent, rows, kind: str):
    seen = []
    for message in messages(rows, kind):
        clone = agent.clone()
        found, refused = outcome(clone.observe, message)
        if refused:
            assert "--text-truncate" in refused
            return None
        seen.append(found)
    return seen


@cases(40)
@given(ROWS, st.sampled_from(("labels", "eval_labels")))
@example([("hi", [""], [""])], "eval_labels")
@example([("hi", ["a"], []), ("hi", [], ["a", "a"])], "labels")
@example([(None, [], [])], "eval_labels")
def test_every_list_becomes_a_batch(ranker, rows, kind):
    seen = observed(ranker, rows, kind)
    if seen is None:
        return
    batch = ranker.batchify(seen)
    assert batch.batchsize == len(seen)
    if batch.batchsize == 0:
        return
    size, longest = len(ranker.dict), ranker.label_truncate
    for row in (batch.candidate_vecs or []) if kind == "eval_labels" else []:
        assert all(0 < len(ids) <= longest for ids in row or ())
    for response, wrong in zip(batch.responses, batch.distractors, strict=True):
        every = [*([] if response is None else [response]), *wrong]
        assert all(0 < len(ids) <= longest and max(ids) < size for ids in every)


@cases(25, share=0.01)
@given(ROWS)
@example([("hi", [], []), ("hi", [], ["a"])])
@example([("hi", [], ["a"] * 100)])
@example([(None, [], ["", ""])])
def test_what_is_ranked_is_what_was_given(ranker, rows):
    seen = observed(ranker, rows, "eval_labels")
    if seen is None:
        return
    replies = ranker.batch_act(seen)
    for (_, _, candidates), reply in zip(rows, replies, strict=True):
        assert sorted(reply.get("text_candidates") or []) == sorted(candidates)


@pytest.fixture(scope="module")
def bot(tiny_model):
    return P2Bot.load(tiny_model)


@cases(25, share=0.01)
@given(st.one_of(st.none(), texts(), st.lists(texts(), max_size=3)), CANDIDATES)
@example([], ["a"])
@example("", [""])
def test_a_program_ranks_or_is_refused(bot, context, candidates):
    found, refused = outcome(bot.rank, context, candidates)
    if not refused:
        assert sorted(one.text for one in found) == sorted(candidates)
        scores = [one.score for one in found]
        assert scores == sorted(scores, reverse=True)


# -------------------------------------------------------------------------------- fixed
@pytest.fixture(scope="module")
def memory_network(tmp_path_factory, convai2):
    path = tmp_path_factory.mktemp("fixed") / "model"
    small = {"backbone": None, "n_layers": None, "n_heads": None, "n_positions": None}
    tiny.train(convai2, path, model="p2bot/kv_profile_memory", max_train_steps=1, **small)
    (path.parent / "list.txt").write_text("yes\nno\n")
    fixed = {"eval_candidates": "fixed", "fixed_candidates_path": str(path.parent / "list.txt")}
    return create_agent_from_model_file(str(path), {"loglevel": "error", **fixed})


@cases(30, share=0.1)
@given(fuzzing.files(st.lists(ONE, max_size=6).map("\n".join), b"yes\nno\n"), TEXTS)
@example(b"", "hi")
@example(b"\n\n", "hi")
@example(b"\xff\xfe", "hi")
@example(b"yes\nyes\n\nno", "hi")
def test_a_fixed_list_is_read_or_refused(memory_network, content, text):
    agent = memory_network
    with open(agent.fixed_candidates_path, "wb") as file:
        file.write(content)
    _, refused = outcome(agent.set_fixed_candidates, None)
    if refused:
        assert "--fixed-candidates-path" in refused
        return
    lines = re.split(r"\r\n|\r|\n", content.decode("utf-8-sig"))
    assert agent.fixed_candidates == list(dict.fromkeys(filter(None, map(str.strip, lines))))
    assert len(agent.fixed_candidates) == len(agent.fixed_candidate_vecs) > 0
    clone = agent.clone()
    seen = clone.observe(Message({"text": text or "hi", "episode_done": True}))
    (reply,) = agent.batch_act([seen])
    assert set(reply["text_candidates"]) <= set(agent.fixed_candidates)


@pytest.fixture(scope="module")
def inline(memory_network):
    memory_network.eval_candidates = "inline"
    yield memory_network
    memory_network.eval_candidates = "fixed"


@cases(20, share=0.05)
@given(ROWS)
@example([("hi", [], [])])
@example([("hi", ["a"], ["b"])])
@example([("hi", ["a"], ["a"]), ("hi", [], [])])
def test_the_memory_network_ranks_or_refuses(inline, rows):
    seen = observed(inline, rows, "eval_labels")
    if seen is None:
        return
    replies, refused = outcome(inline.batch_act, seen)
    if not refused:
        for (_, _, candidates), reply in zip(rows, replies, strict=True):
            assert set(reply.get("text_candidates") or []) <= set(candidates)
