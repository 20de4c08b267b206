"""Self-play runs as a user starts them: how they are validated, resumed, evaluated."""

import json
import shutil

import pytest
import tiny
import torch
from parlai.scripts.train_model import setup_args
from playing import agent_for, opening, step

from p2bot_parlai.agents.checkpoint import read_model_file
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


def test_the_paper_s_learning_rate_is_for_self_play(convai2):
    """Not for supervised training that is only validated on it."""

    def rate(**tasks):
        parser = setup_args()
        return parser.parse_kwargs(model="p2bot", datapath=convai2, **tasks)["learningrate"]

    assert rate(task="p2bot:selfplay", evaltask="convai2") == 1e-6
    assert rate(task="p2bot:selfplay,convai2") == 1e-6
    assert rate(task="convai2", evaltask="p2bot:selfplay") == 6.25e-5


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"batchsize": 1, "selfplay_turns": 1},
            "nothing to learn from.*--rl-baseline leave-one-out",
        ),
        (
            {"lambda_persona": 0.0, "evaltask": "p2bot:selfplay", "validation_metric": "persona"},
            "persona will never be reported.*--lambda-persona",
        ),
        (
            {
                "lambda_persona": 0.0,
                "evaltask": "p2bot:selfplay",
                "validation_metric": "perception",
            },
            "perception will never be reported.*--lambda-persona",
        ),
    ],
)
def test_what_would_come_to_nothing_is_said_first(convai2, tmp_path, playing, changes, message):
    with pytest.raises(P2botError, match=message):
        tiny.train(convai2, tmp_path / "model", **{**playing, **changes})


def test_models_of_the_zoo(convai2, tmp_path, playing):
    """ParlAI finds zoo: names of --model-file by itself; those of our options are ours to find."""
    data, zoo = tmp_path / "data", tmp_path / "data" / "models" / "p2bot"
    shutil.copytree(convai2, data)
    for name in ("init_model", "receiver"):
        (zoo / name).mkdir(parents=True)
        for suffix in ("", ".dict", ".opt"):
            shutil.copy(playing[name] + suffix, zoo / name / f"model{suffix}")
    names = {name: f"zoo:p2bot/{name}/model" for name in ("init_model", "receiver")}
    tiny.train(data, tmp_path / "model", **{**playing, **names})
    saved = read_model_file(tmp_path / "model")["p2bot"]["selfplay"]
    assert saved["user"]["path"] == str(zoo / "init_model" / "model")
    assert saved["Receiver"]["path"] == str(zoo / "receiver" / "model")
