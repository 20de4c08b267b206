"""
Estimators by hand, and on a policy of two tokens: its gradient, and the expectation of every
estimate of it, are sums over all that can be said.
"""

from itertools import product

import pytest
import torch

from p2bot_parlai.method.advantages import ESTIMATORS, OF_GROUPS
from p2bot_parlai.method.advantages.grouped import share_without_spread

# three dialogues of two turns; the first two have the same opening
REWARDS = torch.tensor([[1.0, 5.0], [3.0, 1.0], [0.0, 2.0]])
GROUPS = torch.tensor([7, 7, 2])
ROOT = 2**0.5


@pytest.mark.parametrize(
    "name, expected",
    [
        # all six have the mean 2
        ("mean", [[-1, 3], [1, -1], [-2, 0]]),
        # the others of 1 have the mean 11/5, of 5: 7/5, of 3: 9/5, of 0: 12/5, of 2: 10/5
        ("leave-one-out", [[-1.2, 3.6], [1.2, -1.2], [-2.4, 0]]),
        # turn 1: the others of 1, 3, 0 have the means 3/2, 1/2, 2; turn 2, of 5, 1, 2: 3/2, 7/2, 3
        ("turn", [[-0.5, 3.5], [2.5, -2.5], [-2, -1]]),
        # returns 6 and 4 are compared with each other; the 2 has none beside it
        ("group", [[2, 2], [-2, -2], [2, 2]]),
        ("group-turn", [[-2, 4], [2, -4], [0, 2]]),
    ],
)
def test_by_hand(name, expected):
    found = ESTIMATORS[name](REWARDS, GROUPS)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float))


def test_grpo_by_hand():
    # returns 6 and 4: mean 5, sample deviation sqrt(2); 3 and 3 have no spread
    rewards, groups = torch.tensor([[1.0, 5.0], [3, 0], [3, 1], [0, 3]]), torch.tensor([0, 1, 0, 1])
    found = ESTIMATORS["grpo"](rewards, groups)
    expected = torch.tensor([1 / ROOT, 0, -1 / ROOT, 0])[:, None].expand(4, 2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert share_without_spread(rewards, groups) == 0
    rewards[3] = rewards[1]
    assert share_without_spread(rewards, groups) == 0.5


def test_nothing_to_compare_with():
    one = torch.tensor([[3.0]])
    for name, expected in (("mean", 0.0), ("leave-one-out", 3.0), ("turn", 3.0), ("group", 3.0)):
        assert ESTIMATORS[name](one, GROUPS[:1]).item() == expected


# ------------------------------------------------------------------ a policy of two tokens
THETA = torch.tensor(0.3, dtype=torch.float64)
OPENINGS = torch.tensor([0, 0, 1, 1])  # of four dialogues of two turns
WORTH = torch.tensor([[1.0, -2.0], [4.0, 0.5]], dtype=torch.float64)  # by opening and turn
SAID = torch.tensor(list(product([0.0, 1.0], repeat=8)), dtype=torch.float64).view(-1, 4, 2)


def log_p(theta):
    """Of every token in every outcome: token 1 has the probability sigmoid(theta)."""
    return SAID * theta.sigmoid().log() + (1 - SAID) * (-theta).sigmoid().log()


def rewards_of(said, later: float):
    """
    :param later: what token 1 is worth to the other turn of its dialogue (Eq. 8 looks ahead; the
        second turn answers the first).
    """
    return WORTH[OPENINGS] * said + later * said.flip(-1) + OPENINGS[:, None]


def expected(values):
    """Over all outcomes: (256, ...) -> (...)."""
    chances = log_p(THETA).sum(dim=(1, 2)).exp()
    return torch.tensordot(chances, values, dims=1)


def estimates(name, later):
    """The gradient by each outcome (256,): the mean over responses of A * d log p / d theta."""
    found = [ESTIMATORS[name](rewards, OPENINGS) for rewards in rewards_of(SAID, later)]
    return (torch.stack(found) * (SAID - THETA.sigmoid())).mean(dim=(1, 2))


def gradient(name, later):
    """What it should be: Eq. 5 without a baseline, or that of a dialogue's mean reward."""
    rewards = rewards_of(SAID, later)
    if name == "group":
        theta = THETA.clone().requires_grad_()
        chances = log_p(theta).sum(dim=(1, 2)).exp()
        (chances * rewards.mean(dim=(1, 2))).sum().backward()
        return theta.grad
    return expected((rewards * (SAID - THETA.sigmoid())).mean(dim=(1, 2)))


@pytest.mark.parametrize(
    "name, later",
    [
        *(("mean", 0.0), ("leave-one-out", 0.0), ("turn", 0.0), ("group", 0.0)),
        *(("group-turn", 0.0), ("turn", 1.5), ("group", 1.5), ("group-turn", 1.5)),
    ],
)
def test_the_expected_estimate_is_the_gradient(name, later):
    """But for the mean, which includes the sample: of 8 responses it gives 7/8 of it."""
    factor = 1 - 1 / 8 if name == "mean" else 1
    found, exact = expected(estimates(name, later)), gradient(name, later)
    torch.testing.assert_close(found, factor * exact)


def test_a_baseline_of_the_same_dialogue_is_biased():
    """Where a response changes the rewards of other turns, these are no baseline for it."""
    for name in ("mean", "leave-one-out"):
        found, exact = expected(estimates(name, 1.5)), gradient(name, 1.5)
        assert (found / exact - 1).abs() > 0.05


def test_the_deviation_weights_openings_alike():
    """GRPO: the opening that pays ten times as much teaches no more than before."""
    for scale in (1, 10):
        rewards = rewards_of(SAID, 0.0)[77] * torch.tensor([1, 1, scale, scale])[:, None]
        found = ESTIMATORS["grpo"](rewards, OPENINGS)
        torch.testing.assert_close(found.abs(), torch.full_like(found, ROOT / 2), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "name, what",
    [
        *(("turn", "turn"), ("group", "turn"), ("group-turn", "turn")),
        *((name, "opening") for name in OF_GROUPS),
    ],
)
def test_what_every_response_is_paid_leaves_the_advantage(name, what):
    """For its place in the dialogue, or for the opening."""
    more = torch.tensor([[10.0, 0.0]]) if what == "turn" else 10.0 * (GROUPS[:2, None] == 7)
    same = ESTIMATORS[name](REWARDS[:2] + more, GROUPS[:2])
    torch.testing.assert_close(same, ESTIMATORS[name](REWARDS[:2], GROUPS[:2]))
