"""An agent with ``--context-style original``: fast paths against one by one, and its options."""

import pytest
import tiny
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message

from p2bot_parlai.errors import P2botError

CANDIDATES = ["i live in Bern .", "yes , i take care of a cat .", "my home is in Lima ."]


@pytest.fixture(scope="module")
def agent(original_style_model):
    return create_agent_from_model_file(original_style_model, tiny.QUIET)


def test_a_response_that_is_cut_still_ends(agent):
    ids = agent.response_ids("i live in Bern and i eat soup every day of my life", 5)
    assert len(ids) == 5 and ids[-1] == agent.END_IDX
    assert ids[:4] == agent.dict.p2bot.encode("i live in bern and i eat")[:4]
    clone = agent.clone()
    label = "i live in Bern and i eat soup every day of my life , and so do all of us here now"
    seen = clone.observe(Message({"text": "hi", "eval_labels": [label], "episode_done": True}))
    assert seen["eval_labels_vec"].tolist() == agent.response_ids(label, 24)
    assert seen["eval_labels_vec"][-1] == agent.END_IDX


def test_a_saved_model_keeps_its_own(original_style_model, tiny_model, convai2, tmp_path):
    with pytest.raises(P2botError, match="--context-style append contradicts"):
        tiny.evaluate(convai2, original_style_model, context_style="append")
    with pytest.raises(P2botError, match="--context-style original contradicts"):
        tiny.agent(convai2, tmp_path / "new", init_model=tiny_model, context_style="original")
