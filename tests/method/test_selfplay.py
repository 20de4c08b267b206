"""Eq. 4-5: by hand, against one response at a time, and sampled against re-scored."""

import math

import naive
import pytest
import torch

from p2bot_parlai.method import selfplay
from p2bot_parlai.method.layout import pack
from p2bot_parlai.method.reward_models import SupervisedReading
from p2bot_parlai.method.rollouts import Opening
from p2bot_parlai.method.selfplay import persona_heads
from p2bot_parlai.method.transmitter import log_likelihood, scatter_to_mask, token_log_likelihood

OPENINGS = [
    Opening(["i am a judge."], ["i live in Bern.", "i own a cat."], "hello there", 11),
    Opening(["i eat rice."], ["i eat soup every day."], "hi , i am a judge in Lima .", 12),
    Opening(["i own a dog.", "i own a cat."], ["i am a nurse."], "how are you ?", 13),
]
LONGEST = 9


def close(value, expected, tolerance=1e-6):
    return torch.testing.assert_close(
        torch.as_tensor(value), torch.as_tensor(expected), atol=tolerance, rtol=0
    )


# ------------------------------------------------------------------- the equations
def test_eq_5_by_hand():
    # log p(a) = log 1/2 + log 1/4 = log 1/8 (the third token is padding); the advantage is 2:
    # the loss is -2 log 1/8 = 2 log 8, and its slope by log p is -2
    scores = torch.tensor([[0.5, 0.25, 0.9]]).log().requires_grad_()
    log_p = log_likelihood(scores, torch.tensor([[True, True, False]]))
    close(log_p.detach(), [math.log(1 / 8)])
    loss = selfplay.policy_gradient_loss(log_p, torch.tensor([2.0]))
    close(loss.detach(), [2 * math.log(8)])
    loss.sum().backward()
    close(scores.grad, [[-2.0, -2.0, 0.0]])


def test_the_clipped_ratio_by_hand():
    # ratios 2, 2, 1/2, 1/2, 1 with advantages 3, -3, 3, -3, 2, clipped to 0.8 .. 1.2:
    # min(6, 3.6), min(-6, -3.6), min(1.5, 2.4), min(-1.5, -2.4), 2
    log_p = torch.tensor([1.0, 1.0, 0.25, 0.25, 0.5]).log().requires_grad_()
    sampled = torch.full((5,), 0.5).log().requires_grad_()
    advantages = torch.tensor([3.0, -3.0, 3.0, -3.0, 2.0], requires_grad=True)
    loss = selfplay.clipped_loss(log_p, sampled, advantages)
    close(loss.detach(), [-3.6, 6.0, -1.5, 2.4, -2.0])
    loss.sum().backward()
    # no slope where it is clipped; at ratio 1 that of Eq. 5, -A
    close(log_p.grad, [0.0, 6.0, -1.5, 0.0, -2.0])
    assert sampled.grad is None and advantages.grad is None


def test_advantages_are_no_part_of_the_gradient():
    log_p = torch.tensor([-1.0], requires_grad=True)
    advantages = torch.tensor([3.0], requires_grad=True)
    selfplay.policy_gradient_loss(log_p, advantages).sum().backward()
    assert advantages.grad is None


def test_kl_by_hand():
    # p = (1/2, 1/2), q = (1/4, 3/4): 1/2 log 2 + 1/2 log 2/3
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    close(selfplay.kl_divergence(p, q), 0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    close(selfplay.kl_divergence(p, p), 0.0)


# -------------------------------------------------------------------- the dialogues
def play(bot, openings=OPENINGS, turns=3, limit=200, **options):
    network, tokenizer = bot.network.eval(), bot.dict.p2bot
    reading = SupervisedReading(network, tokenizer)
    game = selfplay.SelfPlay(
        reading, network, tokenizer, None, [], {}, turns, LONGEST, limit, **options
    )
    return game.play(openings)


def rescored(bot, rollouts):
    packed = pack(rollouts.by_dialogue(), bot.dict.p2bot.marks)
    logits, _ = bot.network.eval()(packed)
    mask = packed.target_mask
    return scatter_to_mask(token_log_likelihood(logits, packed.targets[mask]), mask), mask


@pytest.mark.parametrize("options", [{}, {"limit": 60}, {"history_size": 1}])
def test_rescored_is_what_was_sampled(bot, options):
    """Same contexts, masks and (no) dropout: also where old turns were dropped."""
    rollouts = play(bot, **options)
    scores, mask = rescored(bot, rollouts)
    size, turns = rollouts.shape
    close(scores.sum(dim=1).view(size, turns).detach(), rollouts.log_p(), 1e-5)
    scores = scores.view(size, turns, -1)
    for n, sampled in enumerate(rollouts.sampled_scores):
        for b in range(size):
            length = len(rollouts.turns[n][b].response)
            close(scores[b, n, :length].detach(), sampled[b, :length], 1e-5)
    assert mask.sum() == sum(len(t.response) for row in rollouts.turns for t in row)


def test_the_gradient_is_that_of_one_response_at_a_time(bot):
    """Each from its whole context, with no cache."""
    network, tokens = bot.network.eval(), bot.dict.p2bot
    rollouts = play(bot)
    rewards = torch.tensor([0.3, -1.0, 2.0, 0.5, 0.1, -0.4, 1.0, 0.0, 0.2])
    advantages = rewards - rewards.mean()

    def gradient(loss):
        network.zero_grad()
        loss.backward()
        found = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
        network.zero_grad()
        return found

    scores, mask = rescored(bot, rollouts)
    log_p = log_likelihood(scores, mask)
    ours = gradient(selfplay.policy_gradient_loss(log_p, advantages).mean())

    loss = 0.0
    for turn, advantage in zip(rollouts.by_dialogue(), advantages, strict=True):
        log_p = naive.log_p(network, [*turn.context, tokens.self_], turn.response).sum()
        loss = loss - advantage * log_p / len(rewards)
    theirs = gradient(loss)
    for a, b in zip(ours, theirs, strict=True):
        if b is None:  # the [CLS] head has no part in it
            assert a is None or not a.any()
        else:
            close(a, b, 1e-5)


def test_a_dialogue_is_the_same_alone_and_among_others(bot):
    together = play(bot)
    for row, opening in enumerate(OPENINGS):
        alone = play(bot, [opening])
        assert [said[0] for said in alone.agent_texts] == [s[row] for s in together.agent_texts]
        assert [said[0] for said in alone.user_texts] == [s[row] for s in together.user_texts]


def test_every_speaker_and_turn_has_numbers_of_its_own():
    drawn = [
        selfplay.uniforms(OPENINGS, speaker, turn, 4)[row]
        for speaker in (0, 1)
        for turn in range(3)
        for row in range(3)
    ]
    assert len({tuple(numbers.tolist()) for numbers in drawn}) == 18
    assert torch.equal(selfplay.uniforms(OPENINGS, 1, 2, 9)[0, :4], drawn[15])


def test_each_reads_its_own_persona_and_the_words_of_the_other(bot):
    tokens = bot.dict.p2bot
    rollouts = play(bot, turns=2)
    assert rollouts.shape == (3, 2)
    for row, opening in enumerate(OPENINGS):
        context = rollouts.turns[1][row].context
        expected = persona_heads([opening.agent_persona], tokens)[0]
        for n in range(2):
            expected = [*expected, tokens.partner, *tokens.encode(rollouts.user_texts[n][row])]
            if n == 0:
                said = rollouts.turns[0][row].response
                ended = said if said[-1] == tokens.eos else [*said, tokens.eos]
                expected = [*expected, tokens.self_, *ended]
        assert context == expected
    assert rollouts.user_texts[0] == [opening.utterance for opening in OPENINGS]
