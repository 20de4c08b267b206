"""Eq. 6-10 worked by hand, and what happens at their edges."""

import math

import torch

from p2bot_parlai.method import rewards


def close(value, expected, tolerance=1e-6):
    return torch.testing.assert_close(
        torch.as_tensor(value), torch.as_tensor(expected), atol=tolerance, rtol=0
    )


def test_eq_6_by_hand():
    # log-probabilities -1, -2, -6 of three words, and one position that is padding:
    # (-1 - 2 - 6) / 3 = -3
    scores = torch.tensor([[-1.0, -2.0, -6.0, -50.0]])
    mask = torch.tensor([[True, True, True, False]])
    close(rewards.language_style(scores, mask, 100), [-3.0])


def test_saying_nothing_is_no_way_to_a_good_style():
    scores, nothing = torch.zeros(1, 3), torch.zeros(1, 3, dtype=torch.bool)
    close(rewards.language_style(scores, nothing, 100), [-math.log(100)])


def test_eq_7_by_hand():
    # the logit log 3 is the probability 3/4
    close(rewards.discourse_coherence(torch.tensor([math.log(3.0)])), [math.log(0.75)])


def test_eq_8_by_hand():
    # Three turns, gamma = 1/2, agent scores a1 = 1, a2 = 2, a3 = 4, user scores x2 = 8, x3 = 16
    # (x1 = 100 came before anything the agent did). For n = 1 the exponents are
    #   k = 2: x2 has 2(2-1)-1 = 1, a2 has 2(2-1) = 2
    #   k = 3: x3 has 2(3-1)-1 = 3, a3 has 2(3-1) = 4
    #   R(a1) = 1 + (8/2 + 2/4) + (16/8 + 4/16) = 1 + 4.5 + 2.25 = 7.75
    # and for n = 2: k = 3: x3 has 1, a3 has 2: R(a2) = 2 + 16/2 + 4/4 = 11. R(a3) = 4.
    agent = torch.tensor([[1.0, 2.0, 4.0]])
    user = torch.tensor([[100.0, 8.0, 16.0]])
    close(rewards.persona_perception(agent, user, 0.5), [[7.75, 11.0, 4.0]])


def test_eq_8_is_the_double_sum_of_the_paper():
    torch.manual_seed(0)
    agent, user, gamma = torch.randn(3, 5), torch.randn(3, 5), 0.7
    turns = agent.shape[1]
    plain = agent.clone()
    for n in range(turns):
        for k in range(n + 1, turns):
            plain[:, n] += gamma ** (2 * (k - n) - 1) * user[:, k]
            plain[:, n] += gamma ** (2 * (k - n)) * agent[:, k]
    close(rewards.persona_perception(agent, user, gamma), plain, 1e-5)


def test_eq_10_by_hand():
    # 0.4 * -3 + 0.1 * -2 + 0.5 * 4 = 0.6
    raw = {"style": -3.0, "coherence": -2.0, "persona": 4.0}
    weights = {"style": 0.4, "coherence": 0.1, "persona": 0.5}
    raw = {name: torch.tensor([[value]]) for name, value in raw.items()}
    close(rewards.combine(raw, weights), [[0.6]])


def test_coverage_by_hand():
    # two sentences over three turns: the highest so far are (0.2, 0.6), (0.9, 0.6), (0.9, 0.7),
    # of which the means are 0.4, 0.75, 0.8, and the gains 0.4, 0.35, 0.05
    revealed = torch.tensor([[0.2, 0.6], [0.9, 0.1], [0.9, 0.7]])
    known = rewards.coverage(revealed)
    close(known, [0.4, 0.75, 0.8])
    close(rewards.gains(known), [0.4, 0.35, 0.05])
    close(rewards.coverage(torch.zeros(3, 0)), [0.0, 0.0, 0.0])  # an empty profile


def test_coverage_is_the_plain_loop():
    torch.manual_seed(0)
    revealed = torch.rand(2, 5, 4)
    plain = [[revealed[b, : n + 1].max(dim=0).values.mean() for n in range(5)] for b in range(2)]
    close(rewards.coverage(revealed), torch.tensor(plain))


def test_told_again_by_hand():
    # the first sentence is revealed in turns 1, 3 and 4, the second in 2 and 4 (0.5 is no more
    # likely than not): again 0, 0, 1 and 2 times, 3 in all
    probability = torch.tensor([[0.6, 0.5], [0.2, 0.9], [0.7, 0.1], [0.8, 0.6]])
    close(rewards.told_again(probability), [0.0, 0.0, 1.0, 3.0])
    close(rewards.told_again(torch.zeros(2, 0)), [0.0, 0.0])


def test_standardise_by_hand():
    # mean 3, deviations -2, -1, 3 and 0: sqrt((4 + 1 + 9 + 0) / 4) = sqrt(3.5)
    found = rewards.standardise(torch.tensor([[1.0, 2.0], [6.0, 3.0]]))
    close(found, torch.tensor([[-2.0, -1.0], [3.0, 0.0]]) / math.sqrt(3.5))


def test_standardise_without_spread():
    for same in (0.1, 0.0, -1e4):
        close(rewards.standardise(torch.full((3, 7), same)), torch.zeros(3, 7))


def test_overlong_by_hand():
    # 12 tokens cost nothing, 15 that end 3 * 0.1, 32 that do not 20 * 0.1 + 1
    lengths, ended = torch.tensor([[12.0, 15.0, 32.0]]), torch.tensor([[True, True, False]])
    close(rewards.overlong(lengths, ended), [[0.0, -0.3, -3.0]])


def test_repetition_by_hand():
    # "i like my dog": trigrams "i like my" (said before) and "like my dog" (new): -1/2
    said = [["i", "like", "my", "cat", "a", "lot"]]
    assert rewards.repetition(["i", "like", "my", "dog"], said) == -0.5
    assert rewards.repetition(["i", "like", "my", "cat"], said) == -1.0
    assert rewards.repetition(["hello", "there", "my", "friend"], said) == 0.0
    # within one response the second time counts: a b c, b c a, c a b, a b c -> 1 of 4
    assert rewards.repetition(["a", "b", "c", "a", "b", "c"], []) == -0.25


def test_repetition_of_short_and_empty_responses():
    assert rewards.repetition(["yes"], [["yes"]]) == -1.0
    assert rewards.repetition(["yes"], [["no"]]) == 0.0
    assert rewards.repetition([], [["no"]]) == 0.0
