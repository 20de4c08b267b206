"""An agent with ``--context-style original``: fast paths against one by one, and its options."""

import json

import pytest
import tiny
import torch
from asking import QUESTIONS
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.kv_cache import ContextMemory

CANDIDATES = ["i live in Bern .", "yes , i take care of a cat .", "my home is in Lima ."]


@pytest.fixture(scope="module")
def agent(original_style_model):
    return create_agent_from_model_file(original_style_model, tiny.QUIET)


def test_training_keeps_the_form(original_style_model, agent):
    with open(f"{original_style_model}.opt") as file:
        assert json.load(file)["context_style"] == "original"
    tokens = agent.dict.p2bot
    assert tokens.style.name == "original" and tokens.cls is None
    assert agent.dict.start_token == "<start>" and agent.dict.end_token == "<end>"


@torch.no_grad()
def read_alone(agent, context, response):
    """Hidden states of ``context <start> response``, in a row of its own."""
    line = torch.tensor([[*context, agent.dict.p2bot.self_, *response]])
    causal = torch.ones(1, line.shape[1], line.shape[1], dtype=torch.bool).tril()
    network = agent.network.eval()
    return network, network.backbone(line, torch.arange(line.shape[1])[None], causal)[0]


@pytest.mark.parametrize("rank_by", ["next-utterance", "likelihood"])
def test_candidates_together_score_as_each_alone(agent, original_style_model, rank_by):
    ranking = create_agent_from_model_file(original_style_model, {**tiny.QUIET, "rank_by": rank_by})
    contexts = [ranking.dict.p2bot.encode(text) for text in QUESTIONS[:3]]
    responses = [[ranking.response_ids(c, 24) for c in CANDIDATES] for _ in contexts]
    states = ContextMemory().read(ranking.network.eval(), dict(enumerate(contexts)))
    found = ranking.responder.score(states, responses)
    for context, own, scores in zip(contexts, responses, found, strict=True):
        for response, score in zip(own, scores.tolist(), strict=True):
            network, hidden = read_alone(ranking, context, response)
            if rank_by == "next-utterance":
                expected = network.next_utterance(hidden[-1]).sigmoid().log()
            else:
                log_p = network.output(hidden[len(context) : -1]).log_softmax(dim=-1)
                expected = log_p.gather(1, torch.tensor(response)[:, None]).mean()
            assert score == pytest.approx(expected.item(), abs=1e-5)


def test_a_response_that_is_cut_still_ends(agent):
    ids = agent.response_ids("i live in Bern and i eat soup every day of my life", 5)
    assert len(ids) == 5 and ids[-1] == agent.END_IDX
    assert ids[:4] == agent.dict.p2bot.encode("i live in bern and i eat")[:4]
    clone = agent.clone()
    label = "i live in Bern and i eat soup every day of my life , and so do all of us here now"
    seen = clone.observe(Message({"text": "hi", "eval_labels": [label], "episode_done": True}))
    assert seen["eval_labels_vec"].tolist() == agent.response_ids(label, 24)
    assert seen["eval_labels_vec"][-1] == agent.END_IDX


@pytest.mark.parametrize("style, model", [("append", "original"), ("original", "append")])
def test_a_saved_model_keeps_its_own(
    original_style_model, tiny_model, convai2, tmp_path, style, model
):
    path = original_style_model if model == "original" else tiny_model
    with pytest.raises(P2botError, match=f"--context-style {style} contradicts"):
        tiny.evaluate(convai2, path, context_style=style)
    with pytest.raises(P2botError, match=f"--context-style {style} contradicts"):
        tiny.agent(convai2, tmp_path / "new", init_model=path, context_style=style)
