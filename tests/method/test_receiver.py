"""The Receiver's equations: hand-worked numbers, and naive loops beside the batched form."""

import math

import pytest
import torch

from p2bot_parlai.method import receiver
from p2bot_parlai.method.backbones.encoder import mean_pool, random_encoder
from p2bot_parlai.method.receiver import Receiver

YES = torch.ones(1, dtype=torch.bool)


# ------------------------------------------------------------------ hand-worked numbers
def test_relevance_is_the_dot_product_over_root_d():
    H = torch.tensor([[2.0, 0, 0, 0], [0, 4, 0, 1]])
    W = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, -6]])
    expected = torch.tensor([[1.0, 0.0], [2.0, -3.0]])  # root of d = 4 is 2
    torch.testing.assert_close(receiver.relevance(H, W), expected)


def test_aggregate_by_hand():
    U = torch.tensor([[0.0, math.log(3)]])  # weights 1/4 and 3/4 for tau = 1
    assert receiver.aggregate(U, YES, 1.0).item() == pytest.approx(0.75 * math.log(3))
    # tau = log 3 / log 2: weights 1/3 and 2/3
    tau = math.log(3) / math.log(2)
    assert receiver.aggregate(U, YES, tau).item() == pytest.approx(2 / 3 * math.log(3))


def test_without_profile_sentences_or_utterances_the_score_is_zero():
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    assert receiver.aggregate(torch.ones(1, 3), nothing, 0.5).tolist() == [0.0]
    assert receiver.cumulative_score(torch.ones(1, 3), nothing).tolist() == [0.0]


def test_no_gradient_is_lost_to_an_empty_persona():
    U = torch.ones(2, 3, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    receiver.aggregate(U, mask, 0.5).sum().backward()
    assert torch.isfinite(U.grad).all() and (U.grad[1] == 0).all()


def test_loss_of_one_distractor_is_equation_12():
    c = torch.tensor([[1.0, 0.9]])
    U = torch.tensor([[[[1.0, -1.0]], [[0.5, 0.25]]]])  # (1, 2, 1, 2)
    mask = torch.tensor([[[[True, True]], [[True, False]]]])
    hinge, norm = receiver.receiver_loss(c, U, mask, torch.ones(1, 2, dtype=torch.bool), 0.4, 0.1)
    assert hinge.item() == pytest.approx(0.3)
    assert norm.item() == pytest.approx(0.1 * (2.0 + 0.5))  # both matrices, A's and Z's


def test_loss_of_many_distractors_is_their_mean():
    c = torch.tensor([[1.0, 0.9, 0.7, 5.0]])
    U, mask = torch.ones(1, 4, 1, 1), torch.ones(1, 4, 1, 1, dtype=torch.bool)
    allowed = torch.tensor([[False, True, True, False]])
    hinge, norm = receiver.receiver_loss(c, U, mask, allowed, 0.4, 0.1)
    assert hinge.item() == pytest.approx((0.3 + 0.1) / 2)
    assert norm.item() == pytest.approx(0.1 * 2)


def test_score_scales_after_aggregating():
    h = torch.tensor([1.0, 0, 0, 0])
    W = torch.tensor([[0.0, 0, 0, 0], [math.log(3), 0, 0, 0]])
    # products 0 and log 3; tau = 1 weighs them 1/4 and 3/4; then over the root of 4
    expected = 0.75 * math.log(3) / 2
    assert receiver.score(h, W, YES, 1.0).item() == pytest.approx(expected)
    as_scaled = receiver.aggregate(receiver.relevance(h[None], W), YES, 1.0 / 2)
    assert receiver.score(h, W, YES, 1.0).item() == pytest.approx(as_scaled.item())


def test_softmax_loss_by_hand():
    c = torch.tensor([[math.log(3) * 0.1, 0.0, 99.0]])
    allowed = torch.tensor([[False, True, False]])
    assert receiver.softmax_loss(c, allowed, 0.1).item() == pytest.approx(-math.log(3 / 4))
    alone = torch.zeros(1, 3, dtype=torch.bool)
    assert receiver.softmax_loss(c, alone, 0.1).item() == pytest.approx(0.0)


def test_mean_pool_counts_real_tokens_only():
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    assert mean_pool(states, mask).tolist() == [[2.0, 3.0]]


# --------------------------------------------------------------- batched = a naive loop
def naive_cumulative(H, W, tau):
    """Eq. 11, 13 and 14 with nothing but Python."""
    total = 0.0
    for h in H.tolist():
        row = [sum(a * b for a, b in zip(h, w, strict=True)) / len(h) ** 0.5 for w in W.tolist()]
        weights = [math.exp(u / tau) for u in row]
        total += sum(w * u for w, u in zip(weights, row, strict=True)) / sum(weights)
    return total / len(H)


def test_profile_scores_equal_a_naive_loop_where_every_dialogue_has_another_size():
    torch.manual_seed(0)
    turns = [1, 5, 3, 8]
    personas = [[[0], [1, 2, 3]], [[4, 1], [2]], [[5, 6, 7, 0, 1], [3, 4]], [[2, 5], [6, 7, 0]]]
    vectors = torch.randn(8, 6)
    H = torch.randn(len(turns), max(turns), 6)
    spoken = torch.arange(max(turns)) < torch.tensor(turns)[:, None]
    table = torch.full((4, 2, 5), -1)
    for row, candidates in enumerate(personas):
        for column, persona in enumerate(candidates):
            table[row, column, : len(persona)] = torch.tensor(persona)
    c, U, mask = receiver.profile_scores(H, spoken, vectors, table, 0.7)
    for row, candidates in enumerate(personas):
        for column, persona in enumerate(candidates):
            expected = naive_cumulative(H[row, : turns[row]], vectors[persona], 0.7)
            assert c[row, column].item() == pytest.approx(expected, rel=1e-5)
            assert mask[row, column].sum() == turns[row] * len(persona)
            exact = receiver.relevance(H[row, : turns[row]], vectors[persona])
            torch.testing.assert_close(U[row, column, : turns[row], : len(persona)], exact)


# -------------------------------------------------------------------------- the network
def test_two_encoders_or_one():
    torch.manual_seed(0)
    first, second = random_encoder(50, 16, 1, 2, 0.0), random_encoder(50, 16, 1, 2, 0.0)
    apart, shared = Receiver(first, second).eval(), Receiver(first, first).eval()
    H, W = apart([[1, 2, 3]], [[1, 2, 3], [4]])
    assert H.shape == (1, 16) and W.shape == (2, 16)
    assert not torch.allclose(H[0], W[0])
    H, W = shared([[1, 2, 3]], [[1, 2, 3]])
    torch.testing.assert_close(H, W)
    count = sum(p.numel() for p in first.parameters())
    assert sum(p.numel() for p in shared.parameters()) == count
    assert sum(p.numel() for p in apart.parameters()) == 2 * count


# ------------------------------------------------------------------ relevance as a probability
def test_revealed_by_hand():
    # sigmoid(2 * 1.5 - 3) = sigmoid(0) = 1/2; sigmoid(2 * 0.5 - 3) = 1 / (1 + e^2)
    found = receiver.revealed(torch.tensor([1.5, 0.5]), 2.0, -3.0)
    torch.testing.assert_close(found, torch.tensor([0.5, 1 / (1 + math.exp(2))]))


def test_calibration_is_the_share_of_own_sentences():
    """Two values of U: the probability at each is the (smoothed) share of own ones there."""
    own = torch.tensor([0.0] * 20 + [1.0] * 60)
    others = torch.tensor([0.0] * 180 + [1.0] * 20)
    slope, offset = receiver.calibrate(own, others)
    # two free numbers meet two shares exactly: with targets 81/82 and 1/202 they are
    # (20 * 81/82 + 180 / 202) / 200 at U = 0 and (60 * 81/82 + 20 / 202) / 80 at U = 1
    expected = [(20 * 81 / 82 + 180 / 202) / 200, (60 * 81 / 82 + 20 / 202) / 80]
    found = receiver.revealed(torch.tensor([0.0, 1.0]), slope, offset)
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=0)


def test_calibration_where_nothing_overlaps():
    """A line would become infinitely steep without targets short of 0 and 1."""
    slope, offset = receiver.calibrate(torch.tensor([5.0, 6.0]), torch.tensor([-1.0, 0.0, 1.0]))
    assert 0 < slope < 10 and math.isfinite(offset)
    own, other = receiver.revealed(torch.tensor([5.5, 0.0]), slope, offset).tolist()
    assert other < 0.3 < 0.7 < own
