"""Random and TF-IDF on the same lists as the Receiver, and how Table 5 counts."""

import people
import pytest
import torch
from parlai.core.agents import create_agent
from parlai.scripts.eval_model import setup_args

from p2bot_parlai.agents.perception import Question, mean_reciprocal_rank, ranked
from p2bot_parlai.errors import P2botError


def test_mean_reciprocal_rank_by_hand():
    scores = torch.tensor([0.9, 0.1, 0.8, 0.7])
    assert mean_reciprocal_rank(scores, [0, 3]) == pytest.approx((1 + 1 / 3) / 2)
    # four perfect sentences: ranks 1 to 4
    assert mean_reciprocal_rank(torch.arange(9.0), [5, 6, 7, 8]) == pytest.approx(
        (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    )
    assert mean_reciprocal_rank(torch.zeros(5), [2]) == pytest.approx(1 / 3)  # the mean rank


def test_ranking_keeps_the_order_of_equals():
    assert ranked(["a", "b", "c", "d"], torch.tensor([0.0, 1.0, 0.0, 1.0])) == ["b", "d", "a", "c"]


@pytest.mark.parametrize("model", ["p2bot/random_perception", "p2bot/ir_perception"])
def test_a_persona_without_shared_words_and_a_silent_dialogue_are_ranked(model):
    opt = setup_args().parse_kwargs(model=model, task=people.TASK, datapath=".", loglevel="error")
    agent = create_agent(opt)
    agent.observe({"text": "", "label_candidates": ["i sing.", "..."], "episode_done": True})
    reply = agent.act()
    assert sorted(reply["text_candidates"]) == ["...", "i sing."]


def test_a_message_without_personas_names_the_task():
    with pytest.raises(P2botError, match="-t p2bot:persona_perception"):
        Question.read({"text": "hello"})
