"""Lists of candidates: none, one, blank, the same again, very many; inline and fixed."""

import pytest
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
    learnt = [labels for _, labels, _ in rows if labels] if kind == "labels" else []
    assert batch.batchsize == len(learnt or seen)
    size, longest = len(ranker.dict), ranker.label_truncate
    for row in (batch.candidate_vecs or []) if not learnt else []:
        assert all(0 < len(ids) <= longest for ids in row or ())
    for response, wrong in zip(batch.p2bot.responses, batch.p2bot.distractors, strict=True):
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
