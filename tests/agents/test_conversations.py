"""
The agent across the turns of a conversation: what it answers does not depend on what it
remembers, and it reads nothing twice.
"""

import pytest
import tiny
import torch
from asking import PERSONA, QUESTIONS
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message

from p2bot_parlai.method.kv_cache import ContextMemory
from p2bot_parlai.method.transmitter import Transmitter
from p2bot_parlai.method.words import ngrams

CANDIDATES = ["i live in Bern .", "yes , i take care of a cat .", "my home is in Lima ."]
OTHER = "your persona: i own a cat.\n"


@pytest.fixture
def read(monkeypatch):
    """How many tokens of context are read, padding apart: a list, one entry a pass."""
    counts, extend = [], Transmitter.extend

    def counted(self, states, ids, valid):
        counts.append(int(valid.sum()))
        return extend(self, states, ids, valid)

    monkeypatch.setattr(Transmitter, "extend", counted)
    return counts


@pytest.fixture
def no_memory(monkeypatch):
    """Calling it makes every turn read its whole context."""
    read = ContextMemory.read

    def anew(self, network, contexts):
        self.forget()
        return read(self, network, contexts)

    return lambda: monkeypatch.setattr(ContextMemory, "read", anew)


def make(tiny_model, **options):
    override = {"loglevel": "error", "override": options, **options}
    return create_agent_from_model_file(tiny_model, override)


def say(agent, text, **fields):
    agent.observe(Message({"text": text, "episode_done": False, **fields}))
    torch.manual_seed(0)
    return agent.act()


def chat(agent, **fields):
    """Replies to a conversation with two personas and a reset."""
    said = [PERSONA + QUESTIONS[0], *QUESTIONS[1:4], OTHER + QUESTIONS[4], None, *QUESTIONS[5:]]
    replies = []
    for text in said:
        if text is None:
            agent.reset()
        else:
            replies.append(say(agent, text, **fields))
    return replies


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"inference": "topk"},
        {"beam_size": 3, "beam_context_block_ngram": 2},
        {"block_said_before": 2},
        {"history_size": 2},
        {"text_truncate": 60},
        {"use_reply": "none"},
        {"rank_by": "both"},
    ],
    ids=str,
)
def test_a_chat_is_the_same_as_with_every_context_read_anew(tiny_model, no_memory, options):
    check_chat(tiny_model, no_memory, **options)


def test_so_is_a_chat_in_the_original_form(original_style_model, no_memory):
    check_chat(original_style_model, no_memory)


@pytest.mark.parametrize(
    "way",
    [
        *({"inference": name} for name in ("greedy", "beam", "topk")),
        {"inference": "delayedbeam", "beam_delay": 1},  # sampled to its end it repeats nothing
        {"inference": "beam", "beam_block_ngram": 3},
    ],
)
def test_pairs_of_words_that_were_said_are_not_said_again(tiny_model, way):
    """What the partner and the persona say may be said. By our searches and by ParlAI's."""

    def repeated(**options):
        agent, pairs, again = make(tiny_model, **way, **options), set(), 0
        for text in [PERSONA + QUESTIONS[0], *QUESTIONS[:1] * 3]:
            found = set(ngrams(say(agent, text)["text"].split(), 2))
            pairs, again = pairs | found, again + len(pairs & found)
        return again

    assert repeated() > 0
    assert repeated(block_said_before=2) == 0


def check_chat(model, no_memory, **options):
    ours = chat(make(model, **options), label_candidates=CANDIDATES)
    no_memory()
    plain = chat(make(model, **options), label_candidates=CANDIDATES)
    for reply, expected in zip(ours, plain, strict=True):
        assert reply["text"] == expected["text"]
        assert reply["text_candidates"] == expected["text_candidates"]
        assert reply["cand_scores"] == pytest.approx(expected["cand_scores"], abs=1e-5, rel=1e-5)
        (texts, scores), (others, expected_scores) = (
            zip(*found["beam_texts"], strict=True) for found in (reply, expected)
        )
        assert texts == others and scores == pytest.approx(expected_scores, abs=1e-5, rel=1e-5)


# -------------------------------------------------------------------- from the command
def test_evaluation_reads_a_dialogue_once_for_all_its_turns(convai2, tiny_model, read, no_memory):
    """Every metric is that of turns read one by one; the episodes end at their own times."""
    ours, tokens = tiny.evaluate(convai2, tiny_model, batchsize=3), sum(read)
    read.clear()
    no_memory()
    plain = tiny.evaluate(convai2, tiny_model, batchsize=1)
    for name in ("exs", "hits@1", "ppl", "ppl_word", "f1", "bleu-4", "nup_loss", "nup_acc", "loss"):
        assert ours[name] == pytest.approx(plain[name], rel=1e-5, abs=1e-5), name
    assert tokens < 0.6 * sum(read)


# ------------------------------------------------------------------------- training
def test_what_was_read_before_an_update_is_not_used_after_it(convai2, tiny_model, tmp_path, read):
    agent = tiny.agent(convai2, tmp_path / "m", init_model=tiny_model, learningrate=0.1)
    validating = agent.clone()  # as ParlAI does where it validates
    learning = {"labels": ["i eat soup ."], "label_candidates": CANDIDATES, "episode_done": True}

    def answer(one):
        torch.manual_seed(0)
        one.observe(Message({"text": "hm ?", "eval_labels": ["yes"], "episode_done": False}))
        return one.act()["metrics"]["loss"].value()

    first = answer(validating)
    for _ in range(2):
        agent.batch_act([agent.clone().observe(Message({"text": "hi", **learning}))])
        read.clear()
        found = answer(validating)
        assert read[0] == len(validating.observation["text_vec"])
        fresh = agent.clone()
        fresh.history.dialogue.turns = validating.history.dialogue.turns[:-2]
        assert found == pytest.approx(answer(fresh), abs=1e-6)
    assert found != pytest.approx(first, abs=1e-3)
