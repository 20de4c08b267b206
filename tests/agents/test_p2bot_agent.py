"""P²Bot in self-play: what learns, what is frozen, what is reported, what is refused."""

import json
import shutil

import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message
from playing import agent_for, drift, opening, step

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import hub
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.method.reward_models import REWARDS, Reward

REPORTED = ("reward", "style", "weighted_coherence", "persona_turn3", "perception", "kl", "length")


# ------------------------------------------------------------------------ learning
def test_self_play_changes_the_agent_and_nothing_else(convai2, tmp_path, playing):
    agent = agent_for(convai2, tmp_path / "model", playing)
    before = {k: v.clone() for k, v in agent.network.state_dict().items()}
    user = {k: v.clone() for k, v in agent.selfplay.world.user.state_dict().items()}
    step(agent, [1, 2, 3])
    moved = [k for k, v in agent.network.state_dict().items() if not torch.equal(v, before[k])]
    # all but the [CLS] head, which no reward reaches
    assert set(before) - set(moved) == {"next_utterance.weight", "next_utterance.bias"}
    for name, weight in agent.selfplay.world.user.state_dict().items():
        assert torch.equal(weight, user[name])
    learnt = {id(p) for group in agent.optimizer.param_groups for p in group["params"]}
    assert learnt == {id(p) for p in agent.network.parameters()}
    assert not any(p.requires_grad for p in agent.selfplay.world.user.parameters())


@pytest.mark.parametrize(("tau_end", "warned"), [(0.5, False), (0.1, True)])
def test_a_receiver_that_was_best_at_a_high_tau_is_named(
    convai2, tmp_path, playing, monkeypatch, tau_end, warned
):
    """That of the fixture has 0.5, the last tau of its own run."""
    for suffix in ("", ".dict", ".opt"):
        shutil.copy(playing["receiver"] + suffix, tmp_path / f"receiver{suffix}")
    options = json.loads((tmp_path / "receiver.opt").read_text())
    (tmp_path / "receiver.opt").write_text(json.dumps({**options, "tau_end": tau_end}))
    said = []
    monkeypatch.setattr("parlai.utils.logging.warning", said.append)
    agent_for(convai2, tmp_path / "m", {**playing, "receiver": str(tmp_path / "receiver")})
    assert any("at tau 0.5 instead of 0.1" in text for text in said) == warned


@pytest.mark.slow
def test_what_is_rewarded_becomes_likelier(convai2, tmp_path, playing):
    """A reward of the first token alone: the policy learns to say it."""
    agent = agent_for(convai2, tmp_path / "model", {**playing, "learningrate": 1e-2})
    wanted = agent.dict.txt2vec("rice")[0]

    class Wanted(Reward):
        name = "wanted"

        def __call__(self, rollouts):
            first = [[turn.response[0] == wanted for turn in row] for row in rollouts.turns]
            return torch.tensor(first, dtype=torch.float).T

    agent.selfplay.world.rewards, agent.selfplay.world.weights = [Wanted()], {"wanted": 1.0}
    shares = []
    for number in range(60):
        replies = step(agent, range(number * 16, number * 16 + 16))
        values = [reply["metrics"]["wanted"].value() for reply in replies]
        shares.append(sum(values) / len(values))
    assert sum(shares[-5:]) / 5 > sum(shares[:5]) / 5 + 0.4


def test_a_run_reports_every_reward(convai2, tmp_path, playing):
    valid, _ = tiny.train(convai2, tmp_path / "model", **{**playing, "log_every_n_steps": 1})
    reports = json.loads((tmp_path / "model.trainstats").read_text())["train_reports"]
    assert reports and all(set(REPORTED) <= set(report) for report in reports)
    assert "ppl" in valid


def test_weighted_rewards_add_up(convai2, tmp_path, playing):
    agent = agent_for(convai2, tmp_path / "model", playing)
    for reply in step(agent, [1, 2, 3]):
        found = {name: metric.value() for name, metric in reply["metrics"].items()}
        parts = sum(found[f"weighted_{name}"] for name in ("style", "coherence", "persona"))
        assert found["reward"] == pytest.approx(parts, abs=1e-5)
        assert found["weighted_persona"] == pytest.approx(0.5 * found["persona"], abs=1e-6)
        turns = [found[f"style_turn{n}"] for n in (1, 2, 3)]
        assert found["style"] == pytest.approx(sum(turns) / 3, abs=1e-5)
        assert found["kl"] == pytest.approx(0.0, abs=1e-6)  # nothing was learnt yet


def test_supervised_examples_beside_it(convai2, tmp_path, playing):
    agent = agent_for(convai2, tmp_path / "model", playing)
    example = {
        "text": "your persona: i own a cat.\nhi",
        "labels": ["i eat rice"],
        "label_candidates": ["i eat rice", "hello"],
    }
    modes = []
    agent.network.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    replies = step(agent, [1, 2], [example])
    assert modes == [True, False]  # dropout is for them
    for reply, measured, nothing in ((replies[0], "reward", "ppl"), (replies[2], "ppl", "reward")):
        assert reply["metrics"][measured] is not None
        assert reply["metrics"].get(nothing) is None


@pytest.mark.parametrize("inference", ["beam", "greedy"])
def test_the_user_answers_as_in_a_chat(convai2, tmp_path, playing, inference):
    """The frozen user says what an agent of its weights says to the same words."""
    options = {**playing, "user_inference": inference, "selfplay_turns": 2}
    agent = agent_for(convai2, tmp_path / "model", options)
    drift(agent)
    openings = [opening(1), opening(2)]
    rollouts = agent.selfplay.world.play(openings)
    overrides = {"loglevel": "error", "inference": inference, "label_truncate": 8}
    partner = create_agent_from_model_file(
        playing["init_model"], {**overrides, "skip_generation": False}
    )
    for row, begun in enumerate(openings):
        clone = partner.clone()
        persona = "".join(f"your persona: {s}\n" for s in begun.user_persona)
        clone.observe(Message({"text": persona + "__SILENCE__", "episode_done": False}))
        clone.self_observe(Message({"text": begun.utterance}))
        heard = rollouts.agent_texts[0][row]
        clone.observe(Message({"text": heard or "\n", "episode_done": False}))
        if heard:  # an empty message is not taken for a turn by ParlAI
            assert clone.act()["text"] == rollouts.user_texts[1][row]


# ------------------------------------------------------------------------ ablations
@pytest.mark.parametrize("without", ["style", "coherence", "persona"])
def test_a_reward_of_weight_0_loads_no_model(convai2, tmp_path, playing, without, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"{without} was loaded")

    monkeypatch.setattr(REWARDS[without], "build", refuse)
    options = {**playing, f"lambda_{without}": 0.0}
    if without == "persona":
        options["receiver"] = None
    agent = agent_for(convai2, tmp_path / "model", options)
    for reply in step(agent, [1, 2, 3]):
        assert without not in reply["metrics"] and "reward" in reply["metrics"]


# ------------------------------------------------------------------ saving, resuming
def test_a_resumed_run_plays_with_the_same_user(convai2, tmp_path, playing):
    start = str(tmp_path / "start")
    for suffix in ("", ".dict", ".opt"):
        shutil.copy(playing["init_model"] + suffix, start + suffix)
    options = {**playing, "init_model": start}
    path = tmp_path / "model"
    tiny.train(convai2, path, **options)
    user = agent_for(convai2, path, options).selfplay.world.user.state_dict()
    for name, weight in read_model_file(playing["init_model"])["model"].items():
        assert torch.equal(user[name], weight)
    # without the flag the saved path counts
    again = agent_for(convai2, path, {**options, "init_model": None})
    assert torch.equal(again.selfplay.world.user.state_dict()[name], weight)
    # another file under its name is found out
    torch.save({**read_model_file(start), "optimizer": None}, start)
    with pytest.raises(P2botError, match="is not the user that this self-play run began with"):
        agent_for(convai2, path, options)
    (tmp_path / "start").unlink()
    with pytest.raises(P2botError, match="is gone.*--init-model"):
        agent_for(convai2, path, {**options, "init_model": None})


def test_it_is_evaluated_by_its_rewards(convai2, tmp_path, playing):
    path = str(tmp_path / "model")
    tiny.train(convai2, path, **playing)
    given = {"task": "p2bot:selfplay", "selfplay_dialogues": 6}
    report = tiny.evaluate(convai2, path, **given)
    assert set(REPORTED) <= set(report)
    assert report["kl"] > 0  # from the user that it learnt with
    # a supervised model plays with itself
    options = {"receiver": playing["receiver"], "user_inference": "multinomial"}
    report = tiny.evaluate(convai2, playing["init_model"], **given, **options)
    assert report["kl"] == pytest.approx(0.0, abs=1e-6)


def test_contexts_are_as_the_transmitter_learnt_them(convai2, tmp_path, playing):
    path = str(tmp_path / "short")
    tiny.train(convai2, path, history_size=1, text_truncate=64, alpha=0.3, max_train_steps=1)
    agent = agent_for(convai2, tmp_path / "model", {**playing, "init_model": path})
    assert (agent.selfplay.world.history_size, agent.selfplay.world.limit) == (1, 64)
    assert (agent.opt["history_size"], agent.text_truncate, agent.opt["alpha"]) == (1, 64, 0.3)


# ---------------------------------------------------------------------- early failure
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"receiver": None}, "needs a Receiver: --receiver"),
        ({"receiver": "/nowhere"}, "--receiver /nowhere: there is no such file"),
        ({"init_model": None}, "--init-model MODEL"),
        ({"evaltask": None}, "ppl will never be reported"),
        ({"validation_metric": "reward"}, "reward will never be reported"),
        ({"validation_metric": "f1", "skip_generation": True}, "--skip-generation True"),
        ({"validation_metric": "hits@1", "rank_candidates": False}, "--rank-candidates False"),
        (
            {"validation_metric": "style", "lambda_style": 0.0, "evaltask": "p2bot:selfplay"},
            "style is not reported with --lambda-style 0.0",
        ),
        ({"gamma": 2.0}, "--gamma 2.0"),
        ({"selfplay_epochs": 0}, "--selfplay-epochs 0"),
        ({"rollouts_per_opening": 0}, "--rollouts-per-opening 0"),
        ({"rl_baseline": "group"}, "group compares dialogues of one opening: set --rollouts-per-"),
        ({"rollouts_per_opening": 2}, "--rollouts-per-opening 2 needs .* --batchsize a multiple"),
        ({"rollouts_per_opening": 3, "task": "p2bot:selfplay,convai2"}, "with no other task"),
        (
            {"rollouts_per_opening": 3, "task": "p2bot:selfplay,p2bot:selfplay:self_revised"},
            "with no other task",
        ),
        (
            {"lambda_style": 0.0, "lambda_coherence": 0.0, "lambda_persona": 0.0},
            "all rewards have the weight 0",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(
    convai2, tmp_path, playing, changes, message, monkeypatch
):
    def refuse(*args, **kwargs):
        raise AssertionError("something was loaded")

    monkeypatch.setattr("p2bot_parlai.agents.transmitter.read_transmitter_file", refuse)
    monkeypatch.setattr("parlai.scripts.train_model.create_agent", refuse)
    with pytest.raises(P2botError, match=message):
        tiny.train(convai2, tmp_path / "model", **{**playing, **changes})


def test_a_transmitter_without_its_head(convai2, tmp_path, playing):
    path = str(tmp_path / "headless")
    tiny.train(convai2, path, nup_coef=0.0, max_train_steps=1)
    options = {**playing, "init_model": path}
    for task in ("p2bot:selfplay", "p2bot:selfplay,convai2:self_original"):
        with pytest.raises(P2botError, match="--lambda-coherence 0"):
            agent_for(convai2, tmp_path / "model", {**options, "task": task})
    options["lambda_coherence"] = 0.0
    tiny.train(convai2, tmp_path / "model", **options)
    # self-play trained no head either
    assert read_model_file(tmp_path / "model")["p2bot"]["next_utterance"] is False


def test_self_play_does_not_write_over_its_user(convai2, tmp_path, playing):
    path = str(tmp_path / "model")
    for suffix in ("", ".dict", ".opt"):
        shutil.copy(playing["init_model"] + suffix, path + suffix)
    with pytest.raises(P2botError, match="would write over"):
        tiny.train(convai2, path, **{**playing, "init_model": None})


def test_a_language_model_with_another_tokenizer(convai2, tmp_path, playing):
    path = str(tmp_path / "other")
    tiny.train(convai2, path, vocab_size=300, max_train_steps=1)
    options = {**playing, "language_model": path}
    with pytest.raises(P2botError, match="another tokenizer than the Transmitter"):
        tiny.train(convai2, tmp_path / "model", **options)


def test_a_language_model_that_is_not_there(convai2, tmp_path, playing, monkeypatch):
    monkeypatch.setattr(hub, "fetch", None)  # which would ask the hub
    with pytest.raises(P2botError, match="--language-model typo: there is no such file"):
        agent_for(convai2, tmp_path / "model", {**playing, "language_model": "typo"})


def test_a_language_model_of_ones_own(convai2, tmp_path, playing):
    agent = agent_for(
        convai2, tmp_path / "model", {**playing, "language_model": playing["init_model"]}
    )
    assert agent.selfplay.files.to_json()["language model"]["path"] == playing["init_model"]
    assert not any(module.training for module in agent.selfplay.world.rewards[0].backbone.modules())
    step(agent, [1, 2, 3])


def test_a_reward_that_is_no_number_stops_the_run(convai2, tmp_path, playing):
    agent = agent_for(convai2, tmp_path / "model", playing)

    class Broken(Reward):
        name = "style"

        def __call__(self, rollouts):
            values = torch.zeros(rollouts.shape)
            values[1, 2] = torch.nan
            return values

    agent.selfplay.world.rewards[0] = Broken()
    before = agent.network.backbone.tokens_embed.weight.clone()
    with pytest.raises(P2botError, match="the reward style is infinite or not a number"):
        step(agent, [1, 2, 3])
    assert torch.equal(before, agent.network.backbone.tokens_embed.weight)
