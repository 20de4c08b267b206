"""What is seen of a self-play run, what ends it, and whom the agent talks with."""

import json
from pathlib import Path

import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.utils import logging
from playing import agent_for, drift, opening, step

from p2bot_parlai.agents.selfplay_watch import dialogue_metrics
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.guards import Guard
from p2bot_parlai.method.layout import Turn
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.method.rollouts import Rollouts, ScoredRollouts

EOS = 9


def test_metrics_by_hand():
    """One dialogue of two turns: 'i own a cat' [EOS], then the same without an end."""
    told = "i own a cat"
    turns = [[Turn([], [1, 2, 3, 4, EOS])], [Turn([], [1, 2, 3, 4])]]
    sampled = [torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0]]), torch.tensor([[-2.0] * 4 + [0.0]])]
    rollouts = Rollouts([opening(1)], [["hi"], ["yes"]], [[told], [told]], turns, sampled)
    total = torch.tensor([[1.0, 5.0]])
    scored = ScoredRollouts(rollouts, {"style": total}, {"style": 1.0}, total, {})
    found = {k: v[0].value() for k, v in dialogue_metrics(scored, EOS).items()}
    expected = {"reward": 3.0, "reward_turn1": 1.0, "reward_turn2": 5.0, "length": 4.5}
    # 15 nats over 5 tokens, 8 over 4; both trigrams of the second turn were said before;
    # 3 different pairs of 6; four words each
    expected |= {"ended": 0.5, "entropy": 2.5, "said_before": 0.5, "distinct_2": 0.5, "words": 4.0}
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_the_sampled_divergence_is_that_of_the_tokens_that_were_said(convai2, tmp_path, playing):
    """0 while the agent is the user; the whole one is there in every tenth update."""
    agent = agent_for(convai2, tmp_path / "model", playing)
    first = step(agent, [1, 2])[0]["metrics"]
    assert first["kl_sampled"].value() == pytest.approx(0, abs=1e-5)
    assert first["kl"].value() == pytest.approx(0, abs=1e-5)
    drift(agent)
    scored = agent.play([opening(1)])
    log_p, log_q, kl = agent.reread(scored, "none")
    assert kl is None
    assert (log_p - log_q).abs().min() > 0
    metrics = step(agent, [1])[0]["metrics"]
    assert "kl" not in metrics
    assert metrics["kl_sampled"].value() == pytest.approx((log_p - log_q).mean().item(), abs=1e-5)


# ---------------------------------------------------------------------------- guards
@pytest.fixture
def said(monkeypatch):
    found = []
    monkeypatch.setattr(logging, "info", found.append)
    return found


@pytest.mark.parametrize(
    "guard, reason",
    [({"stop_kl": 1.0}, "--stop-kl 1"), ({"stop_distinct": 0.9}, "--stop-distinct 0.9")],
)
def test_a_collapse_ends_the_run(convai2, tmp_path, playing, said, guard, reason):
    """Style alone at a high rate: the agent comes to say what is likely of itself."""
    path = tmp_path / "model"
    alone = {"lambda_coherence": 0.0, "lambda_persona": 0.0, "receiver": None}
    run = {**playing, **alone, **guard, "learningrate": 0.03, "max_train_steps": 200}
    run |= {"save_after_valid": True, "validation_every_n_steps": 5, "validation_metric": "ppl"}
    tiny.train(convai2, path, **run)
    (line,) = [line for line in said if reason in line]
    assert "the best model is kept" in line
    steps = read_model_file(f"{path}.checkpoint")["p2bot"]["run"]["counts"]["train_steps"]
    assert 10 <= steps < 200
    best = read_model_file(path)["p2bot"]["run"]["counts"]["train_steps"]
    assert best <= steps
    tiny.train(convai2, path, **run)  # at its end
    again = read_model_file(f"{path}.checkpoint")["p2bot"]["run"]["counts"]["train_steps"]
    assert again == steps
    more = {name: 0.0 for name in guard} | {"max_train_steps": steps + 2}
    tiny.train(convai2, path, **run | more)  # without the guard it goes on
    last = read_model_file(f"{path}.checkpoint")["p2bot"]["run"]["counts"]["train_steps"]
    assert last == steps + 2


def test_models_are_kept_as_they_go_away(convai2, tmp_path, playing, monkeypatch):
    """Each when its divergence is first reached; a resumed run keeps none again."""
    monkeypatch.setattr(Guard, "means", lambda guard: (0.1 * len(guard.seen), 1.0))
    path = tmp_path / "model"
    run = {**playing, "max_train_steps": 4, "save_at_kl": "0.15,0.2,0.4,99"}
    run |= {"save_after_valid": True, "validation_every_n_steps": 4, "validation_metric": "ppl"}
    tiny.train(convai2, path, **run)
    same, early, last = (read_model_file(f"{path}.kl{kl}")["model"] for kl in (0.15, 0.2, 0.4))
    assert all(torch.equal(weight, same[name]) for name, weight in early.items())
    assert not all(torch.equal(weight, last[name]) for name, weight in early.items())
    whole = read_model_file(f"{path}.checkpoint")["model"]
    assert all(torch.equal(weight, last[name]) for name, weight in whole.items())
    assert "ppl" in tiny.evaluate(convai2, f"{path}.kl0.2")
    for kl in (0.15, 0.2, 0.4):
        Path(f"{path}.kl{kl}").unlink()
    tiny.train(convai2, path, **run | {"max_train_steps": 6})
    assert not [kl for kl in (0.15, 0.2, 0.4, 99) if Path(f"{path}.kl{kl}").exists()]


@pytest.mark.parametrize("given", ["0.1,a", "0", "nan", "-1"])
def test_divergences_to_save_at(convai2, tmp_path, playing, given):
    with pytest.raises(UsageError, match="--save-at-kl .*positive numbers"):
        tiny.train(convai2, tmp_path / "model", **{**playing, "save_at_kl": given})


def test_a_run_that_goes_well_goes_on(convai2, tmp_path, playing, said):
    run = {**playing, "stop_kl": 1.0, "stop_distinct": 0.01, "max_train_steps": 12}
    tiny.train(convai2, tmp_path / "model", **run | {"learningrate": 1e-6})
    assert not [line for line in said if "--stop" in line]


def test_the_guard_sees_what_all_processes_said(convai2, tmp_path, playing, monkeypatch):
    """Fewer words differ in more texts: the mean over processes would depend on their number."""
    seen = []
    monkeypatch.setattr(Guard, "see", lambda guard, kl, distinct_2: seen.append(distinct_2))
    agent = agent_for(convai2, tmp_path / "model", {**playing, "learningrate": 1e-9})
    step(agent, [1, 2])
    twice = "p2bot_parlai.agents.p2bot.gather_from_processes"
    monkeypatch.setattr(twice, lambda said: [said, said])
    step(agent, [1, 2])
    assert seen[0] > 0 and seen[1] == pytest.approx(seen[0] / 2)


# --------------------------------------------------------------------------- partner
def partners(agent) -> list[torch.Tensor]:
    return [weight.clone() for weight in agent.selfplay.partner.network.state_dict().values()]


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_latest_self_is_the_partner(convai2, tmp_path, playing):
    given = {**playing, "partner": "latest", "partner_every": 2, "learningrate": 0.01}
    agent = agent_for(convai2, tmp_path / "model", given)
    seen = []
    for number in range(3):
        before = [weight.clone() for weight in agent.network.state_dict().values()]
        step(agent, [number])
        seen.append((before, partners(agent)))
    (begun, first), (moved, second), (newest, third) = seen
    assert same(first, begun) and same(second, begun) and not same(moved, begun)
    assert same(third, newest)


def test_evaluation_is_with_the_supervised_model(convai2, tmp_path, playing):
    """Its user does not move with the agent."""
    given = {**playing, "partner": "latest", "partner_every": 1, "learningrate": 0.05}
    agent = agent_for(convai2, tmp_path / "model", given)
    for number in range(3):
        step(agent, [number])
    agent.is_training = False
    evaluated = agent.play([opening(7)]).rollouts
    frozen = agent.selfplay.world.play([opening(7)])
    assert evaluated.user_texts == frozen.user_texts
    agent.is_training = True
    assert agent.play([opening(7)]).rollouts.user_texts != frozen.user_texts


def test_adapters_share_the_base_with_their_past_selves(convai2, tmp_path, playing):
    base = tiny.save_backbone(tmp_path / "base")
    given = {**tiny.PRETRAINED, "backbone": base, "adapter": "lora", "adapter_rank": 2, "seed": 3}
    tiny.train(convai2, tmp_path / "supervised", **given, max_train_steps=1)
    own = {"partner": "latest", "partner_every": 1, "learningrate": 0.05}
    own |= {"init_model": str(tmp_path / "supervised"), "lambda_persona": 0.0, "receiver": None}
    own |= {"gradient_checkpointing": True}
    agent = agent_for(convai2, tmp_path / "model", {**playing, **own})
    partner = agent.selfplay.partner.network
    assert partner.backbone.network is agent.network.backbone.network
    assert agent.network.backbone.network.gradient_checkpointing  # frozen roles leave it on
    before = partners(agent)
    step(agent, [1])
    assert same(partners(agent), before)
    step(agent, [2])
    assert not same(partners(agent), before)


@pytest.mark.slow
@pytest.mark.parametrize("partner", ["latest", "pool"])
def test_a_resumed_run_has_the_same_partners(convai2, tmp_path, playing, partner):
    run = {**playing, "partner": partner, "partner_every": 1, "learningrate": 0.02}
    run |= {"save_after_valid": True, "validation_every_n_steps": 3, "validation_metric": "ppl"}
    tiny.train(convai2, tmp_path / "whole", **run | {"max_train_steps": 6})
    tiny.train(convai2, tmp_path / "parts", **run | {"max_train_steps": 3})
    tiny.train(convai2, tmp_path / "parts", **run | {"max_train_steps": 6})
    whole, parts = (read_model_file(tmp_path / f"{name}.checkpoint") for name in ("whole", "parts"))
    assert len(whole["selves"]) == len(parts["selves"]) == (1 if partner == "latest" else 7)
    for name, weight in whole["model"].items():
        torch.testing.assert_close(parts["model"][name], weight)
    assert "selves" not in read_model_file(tmp_path / "whole")


# ------------------------------------------------------------------------------- files
def test_rollouts_are_written(convai2, tmp_path, playing):
    path = tmp_path / "rollouts.jsonl"
    tiny.train(convai2, tmp_path / "model", **playing, save_rollouts=str(path))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["update"] for line in lines] == [0, 0, 0, 1, 1, 1]
    for line in lines:
        assert line["user_persona"] and line["agent_persona"] and len(line["turns"]) == 3
        for turn in line["turns"]:
            assert len(turn["tokens"]) == len(turn["log_probs"])
            assert set(turn["rewards"]) == {"style", "coherence", "persona"}


def test_a_place_that_cannot_be_written_is_named(convai2, tmp_path, playing):
    with pytest.raises(P2botError, match="--save-rollouts /dev/null/x"):
        tiny.train(convai2, tmp_path / "model", **playing, save_rollouts="/dev/null/x")


def test_a_model_that_learnt_with_its_past_selves_chats_without_them(convai2, tmp_path, playing):
    tiny.train(convai2, tmp_path / "model", **playing, partner="pool")
    agent = create_agent_from_model_file(str(tmp_path / "model"), {**tiny.QUIET})
    agent.observe({"text": "your persona: i own a cat.\nhi", "episode_done": False})
    assert "text" in agent.act()
