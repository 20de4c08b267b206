"""An update by self-play: groups, several epochs, several batches, pieces."""

import json

import pytest
import tiny
import torch
from parlai.core.message import Message
from playing import agent_for, drift

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.advantages import ESTIMATORS
from p2bot_parlai.method.backbones.gpt import Attention
from p2bot_parlai.method.rollouts import Opening
from p2bot_parlai.method.selfplay import clipped_loss

# the gradient itself, unclipped; Adam's first steps are as long where it is next to nothing
STEP = {"optimizer": "sgd", "learningrate": 0.1, "gradient_clip": -1, "kl_coef": 0.5}
EXAMPLE = {"text": "your persona: i own a cat.\nhi", "labels": ["i eat rice and beans"]}
GROUPS = [0, 1, 0, 1]  # of the openings, which two batches would part


def learner(convai2, path, playing, **changes):
    """Without dropout, which is for supervised examples and would draw other numbers."""
    agent = agent_for(convai2, path, {**playing, **STEP, **changes})
    for module in agent.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, Attention):
            module.dropout = 0.0
    drift(agent)
    return agent


def opening(seed: int, group: int) -> Opening:
    persona = [f"i am a judge {group}.", "i eat soup every day."][: 1 + group]
    return Opening(persona, ["i own a cat."], "hello there", seed)


def told(seed: int, group: int) -> Message:
    fields = {"text": "hello there", "opening": vars(opening(seed, group)), "learn": True}
    return Message({**fields, "episode_done": True})


def learn(agent, batches) -> tuple[list[torch.Tensor], dict[str, float]]:
    """The change of each weight, and the metrics over all messages."""
    before, totals = [p.detach().clone() for p in agent.network.parameters()], {}
    for messages in batches:
        seen = [agent.clone().observe(message) for message in messages]
        for reply in agent.batch_act(seen):
            for name, value in reply.get("metrics", {}).items():
                if value is not None:
                    totals[name] = totals.get(name) + value
    totals |= agent.global_metrics.report()
    names = {"reward", "kl", "rl_loss", "length", "loss", "advantage_var", "flat_groups"}
    changes = [now - was for now, was in zip(agent.network.parameters(), before, strict=True)]
    return changes, {name: float(totals[name].value()) for name in names & set(totals)}


def test_a_dialogue_alone_in_its_group_is_refused(convai2, tmp_path, playing):
    options = {"rl_baseline": "grpo", "rollouts_per_opening": 2}
    agent = learner(convai2, tmp_path / "m", playing, **options)
    with pytest.raises(P2botError, match="alone in its group"):
        learn(agent, [[told(0, 0), told(1, 0), told(2, 1)]])


@pytest.mark.parametrize(
    "how",
    [{"tokens_per_batch": 90}, {"update_freq": 2}, {"update_freq": 2, "tokens_per_batch": 90}],
    ids=str,
)
@pytest.mark.parametrize("baseline", ["mean", "group-turn"])
def test_pieces_and_batches_learn_what_one_batch_does(convai2, tmp_path, playing, how, baseline):
    """Also beside supervised examples."""
    messages = [told(seed, group) for seed, group in enumerate(GROUPS)]
    other = Message({**EXAMPLE, "episode_done": True})
    options = {"rl_baseline": baseline, "rollouts_per_opening": 2}
    plain = learner(convai2, tmp_path / "m", playing, **options)
    expected, metrics = learn(plain, [[*messages, other, other]])
    agent = learner(convai2, tmp_path / "m", playing, **options, **how)
    reads = []
    agent.network.register_forward_pre_hook(lambda module, given: reads.append(given))
    if "update_freq" in how:
        batches = [[*messages[:2], other], [*messages[2:], other]]
    else:
        batches = [[*messages, other, other]]
    found, same = learn(agent, batches)
    assert len(reads) > 2
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)
    assert any(change.abs().max() > 1e-3 for change in found)
    assert len(metrics) == 7 and same == pytest.approx(metrics, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("per_token", [False, True])
def test_an_update_is_that_of_the_estimator(convai2, tmp_path, playing, per_token):
    """By the definition, response by response."""
    options = {"rl_baseline": "group", "rollouts_per_opening": 2, "rl_coef": 3.0}
    options |= {"log_p_per_token": per_token}
    agent = learner(convai2, tmp_path / "m", playing, **options)
    scored = agent.play([opening(seed, group) for seed, group in enumerate(GROUPS)])
    log_p, _, divergence = agent.reread(scored, "gradient")
    returns = scored.total.sum(dim=1).tolist()
    advantages = [returns[i] - returns[(i + 2) % 4] for i in range(4)]
    loss = 0.5 * divergence.sum()
    for i, value in enumerate(log_p):
        tokens = len(scored.rollouts.by_dialogue()[i].response) if per_token else 1
        loss = loss - advantages[i // 3] * value / tokens
    agent.zero_grad()
    (3.0 * loss / 12).backward()
    expected = agent.network.backbone.tokens_embed.weight
    before, step = expected.detach().clone(), 0.1 * expected.grad.clone()
    _, metrics = learn(agent, [[told(seed, group) for seed, group in enumerate(GROUPS)]])
    assert metrics["advantage_var"] == pytest.approx(sum(a**2 for a in advantages) / 4, rel=1e-4)
    assert metrics["flat_groups"] == 0
    torch.testing.assert_close(expected.detach(), before - step, atol=1e-6, rtol=1e-3)


def test_epochs_learn_from_the_same_dialogues(convai2, tmp_path, playing):
    """First what one epoch learns: the ratio is 1. Then what the clipped loss has left."""
    messages = [told(seed, group) for seed, group in enumerate(GROUPS)]
    options = {"rl_baseline": "group-turn"}
    single = learner(convai2, tmp_path / "m", playing, **options)
    scored = single.play([opening(seed, group) for seed, group in enumerate(GROUPS)])
    log_p, sampled = single.reread(scored, "none").log_p, scored.rollouts.log_p().flatten()
    ratio = (log_p - sampled).exp().detach()
    torch.testing.assert_close(ratio, torch.ones(12), atol=1e-4, rtol=0)
    learn(single, [messages])
    # the second update by hand, from the dialogues as they were sampled
    single.zero_grad()
    log_p, _, divergence = single.reread(scored, "gradient")
    advantages = ESTIMATORS["group-turn"](scored.total, torch.tensor(GROUPS)).flatten()
    (clipped_loss(log_p, sampled, advantages) + 0.5 * divergence).mean().backward()
    ratio = (log_p - sampled).exp().detach()
    clipped = ((ratio - 1).abs() > 0.2).float().mean().item()
    assert 0 < clipped < 1
    weight = single.network.backbone.tokens_embed.weight
    expected = weight.detach() - 0.1 * weight.grad

    agent = learner(convai2, tmp_path / "m", playing, **options, selfplay_epochs=2)
    seen = [agent.clone().observe(message) for message in messages]
    replies = agent.batch_act(seen)
    found = agent.network.backbone.tokens_embed.weight.detach()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)
    shares = [reply["metrics"]["ratio_clipped"].value() for reply in replies]
    assert sum(shares) / 4 == pytest.approx(clipped / 2)  # of two epochs, none in the first


def test_the_ratio_begins_at_1_whatever_the_cache_rounds(convai2, tmp_path, playing):
    """Cached and packed passes differ in bf16; here all that was sampled is off by 0.1 a token."""
    agent = learner(convai2, tmp_path / "m", playing, selfplay_epochs=2, learningrate=1e-9)
    play = agent.play

    def rounded(openings):
        scored = play(openings)
        scored.rollouts.sampled_scores = [s - 0.1 * (s < 0) for s in scored.rollouts.sampled_scores]
        return scored

    agent.play = rounded
    seen = [agent.clone().observe(told(seed, 0)) for seed in range(2)]
    for reply in agent.batch_act(seen):
        assert reply["metrics"]["ratio_clipped"].value() == 0


def test_a_run_in_groups_reports_them(convai2, tmp_path, playing):
    options = {"rl_baseline": "group", "rollouts_per_opening": 2, "batchsize": 2}
    options |= {"update_freq": 2, "max_train_steps": 4, "log_every_n_steps": 2}
    tiny.train(convai2, tmp_path / "model", **{**playing, **options})
    (found,) = json.loads((tmp_path / "model.trainstats").read_text())["train_reports"]
    assert {"advantage_var", "flat_groups"} <= set(found)
    assert found["exs"] == 8  # two updates of two batches of two
