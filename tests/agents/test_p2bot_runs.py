"""Self-play runs as a user starts them: how they are validated, resumed, evaluated."""

import json

import pytest
import tiny
import torch
from playing import agent_for, opening, step

from p2bot_parlai.errors import P2botError


def test_it_is_validated_by_its_rewards(convai2, tmp_path, playing):
    """Also after training, when the best model is loaded and validation runs on its clones."""
    changes = {**playing, "evaltask": "p2bot:selfplay", "selfplay_dialogues": 5}
    changes |= {"validation_metric": "reward", "validation_metric_mode": "max"}
    valid, test = tiny.train(convai2, tmp_path / "model", **changes)
    assert {"reward", "coherence", "kl"} <= set(valid) & set(test)
    assert valid["exs"].value() == 5


def test_a_diverged_agent_stops_the_run(convai2, tmp_path, playing):
    """The frozen models find a reward for whatever it says, so no reward would show it."""
    agent = agent_for(convai2, tmp_path / "new" / "folder" / "model", playing)
    with torch.no_grad():
        agent.network.backbone.tokens_embed.weight.fill_(torch.nan)
    with pytest.raises(P2botError, match="probabilities of the agent"):
        step(agent, [1, 2, 3])
    path = tmp_path / "new" / "folder" / "model.broken_dialogue.json"
    assert json.loads(path.read_text())["user_persona"] == opening(1).user_persona
