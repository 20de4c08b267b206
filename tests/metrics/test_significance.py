"""Intervals and p: small cases by hand, and against naive forms."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.intervals import mean_interval
from p2bot_parlai.metrics.significance import Example, compare, holm, pair_up, signed_rank_p


def example(number, dialogue=None, text="", **metrics):
    pairs = {k: v if isinstance(v, tuple) else (v, 1) for k, v in metrics.items()}
    words = text.split()
    ngrams = {1: Counter((w,) for w in words), 2: Counter(zip(words, words[1:], strict=False))}
    return Example(str(number), str(dialogue or number), "task", pairs, ngrams)


def systems(first, second, **more):
    return [
        (example(i, f1=a, **more), example(i, f1=b, **more))
        for i, (a, b) in enumerate(zip(first, second, strict=True))
    ]


def test_p_is_exact_where_all_permutations_can_be_taken():
    first, second = [0.1, 0.5, 0.3, 0.2, 0.4], [0.3, 0.6, 0.2, 0.6, 0.5]
    (found,) = compare(systems(first, second), ["f1"], seed=1)
    differences = np.array(second) - np.array(first)
    assert found.difference == pytest.approx(differences.mean())
    swapped = [abs((differences * signs).mean()) for signs in product((1, -1), repeat=5)]
    as_large = sum(s >= abs(differences.mean()) - 1e-12 for s in swapped)
    assert found.p == pytest.approx(as_large / 32)


def test_the_interval_is_that_of_a_naive_bootstrap():
    rng = np.random.default_rng(0)
    first = rng.random(60)
    second = first + 0.1 + 0.2 * rng.standard_normal(60)
    (found,) = compare(systems(first, second), ["f1"], seed=1, resamples=2000)
    means = [(second - first)[rng.integers(0, 60, 60)].mean() for _ in range(4000)]
    assert found.low == pytest.approx(np.quantile(means, 0.025), abs=0.01)
    assert found.high == pytest.approx(np.quantile(means, 0.975), abs=0.01)
    assert found.low < found.difference < found.high
    (again,) = compare(systems(first, second), ["f1"], seed=1, resamples=2000)
    assert again == found
    (other,) = compare(systems(first, second), ["f1"], seed=2, resamples=2000)
    assert other != found


def test_perplexity_is_weighed_by_tokens():
    pairs = [
        (example(1, ppl=(2.0, 4)), example(1, ppl=(1.0, 4))),
        (example(2, ppl=(9.0, 6)), example(2, ppl=(5.0, 6))),
    ]
    (found,) = compare(pairs, ["ppl"], seed=1)
    assert found.first == pytest.approx(np.exp(11 / 10))
    assert found.second == pytest.approx(np.exp(6 / 10))


def test_a_dialogue_is_one_piece_of_evidence():
    """Five dialogues whose turns all say the same are five observations, not fifty."""
    differences = [0.2, 0.1, 0.3, 0.2, -0.1]
    pairs = [
        (
            example(10 * d + t, f"d{d}", f1=0.5),
            example(10 * d + t, f"d{d}", f1=0.5 + differences[d]),
        )
        for d in range(5)
        for t in range(10)
    ]
    (found,) = compare(pairs, ["f1"], seed=1)
    (single,) = compare(systems([0.5] * 5, [0.5 + d for d in differences]), ["f1"], seed=1)
    assert (found.units, found.p) == (5, pytest.approx(single.p))
    # of five values a quantile may be the one beside it
    assert (found.low, found.high) == pytest.approx((single.low, single.high), abs=0.03)
    (turns,) = compare(pairs, ["f1"], seed=1, unit="turn")
    assert turns.units == 50 and turns.p < found.p
    assert turns.high - turns.low < found.high - found.low


def test_of_a_single_unit_no_spread_is_known():
    pairs = systems([0.2, 0.4], [0.3, 0.5])
    for one in pairs[1]:  # what a system lacks does not count
        del one.metrics["f1"]
    (found,) = compare(pairs, ["f1"], seed=1)
    assert (found.first, found.second, found.p, found.units) == (0.2, 0.3, 1.0, 1)
    assert np.isnan([found.low, found.high]).all()


def test_distinct_is_that_of_the_whole_corpus():
    texts = [("a b", "a b"), ("a b c", "c d"), ("a", "e f g")]
    pairs = [(example(i, text=a), example(i, text=b)) for i, (a, b) in enumerate(texts)]
    one, two = compare(pairs, ["distinct-1", "distinct-2"], seed=1)
    assert one.first == pytest.approx(3 / 6) and one.second == pytest.approx(7 / 7)
    assert two.first == pytest.approx(2 / 3) and two.second == pytest.approx(4 / 4)
    # leave one out: B - A is 1 - 3/4, 1 - 2/3, 1 - 3/5; variance (n-1)/n sum of squares
    left = np.array([1 - 3 / 4, 1 - 2 / 3, 1 - 3 / 5])
    reach = 1.959964 * (2 / 3 * ((left - left.mean()) ** 2).sum()) ** 0.5
    assert one.high - one.difference == pytest.approx(reach, rel=1e-5)
    # 8 ways to change places. The first pair is alike. Of the other two: none or both changed
    # is 1/2 apart, one changed is 4/5 against 6/8
    assert one.p == pytest.approx(4 / 8)


def test_examples_are_paired_by_name():
    first, second = [example(i, f1=i) for i in (1, 2, 3)], [example(i, f1=i) for i in (4, 3, 1)]
    assert [(a.name, b.name) for a, b in pair_up(first, second)] == [("1", "1"), ("3", "3")]


def test_one_dialogue_is_too_few():
    pairs = [(example(i, "d", f1=0.1), example(i, "d", f1=0.2)) for i in range(5)]
    with pytest.raises(P2botError, match="5 examples in 1 dialogues"):
        compare(pairs, ["f1"], seed=1)


# ------------------------------------------------------------------------- paired grades
def exhaustive_p(differences) -> float:
    """Of all 2^n signs, the share whose rank sum is at least as far from the middle."""
    unequal = [d for d in differences if d]
    ranks = rankdata([abs(d) for d in unequal])
    middle = sum(ranks) / 2
    seen = abs(sum(r for r, d in zip(ranks, unequal, strict=True) if d > 0) - middle)
    sums = [np.dot(ranks, signs) for signs in product((0, 1), repeat=len(ranks))]
    return sum(abs(s - middle) >= seen - 1e-9 for s in sums) / len(sums)


@pytest.mark.parametrize(
    "differences",
    [[1, 2, 3, 4, 5], [1, 1, 1, -1, 2, 2], [1, 0, 0, -2, 3], [2, 2, -2, -2], [1]],
)
def test_few_pairs_are_tested_exactly_with_ties(differences):
    assert signed_rank_p(differences) == pytest.approx(exhaustive_p(differences))


def test_signed_ranks_of_many_pairs_and_of_none():
    differences = [1, 1, 2, -1, 3, 1, 1, 2, -2, 1, 1, 1, -1, 2, 1]
    assert signed_rank_p(differences) == pytest.approx(exhaustive_p(differences), abs=0.01)
    assert signed_rank_p([]) is None
    assert signed_rank_p([0, 0, 0]) == 1
    third, sums = 1 / 3, (1 - 2 / 3)
    assert third != sums, "rounding must not break the tie"
    assert signed_rank_p([third, sums, -third]) == exhaustive_p([1, 1, -1])


def test_holm():
    # sorted 0.01 0.02 0.04: times 3, 2, 1, never falling
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_an_interval_of_a_mean():
    assert mean_interval([[3]], 2000) is None
    assert mean_interval([[2, 2], [2]], 2000) == (2, 2)
    low, high = mean_interval([[1], [2], [3], [4]] * 25, 2000)
    # the standard error of the mean of 100 is sqrt(1.25 / 100) = 0.112
    assert (low, high) == pytest.approx((2.5 - 1.96 * 0.112, 2.5 + 1.96 * 0.112), abs=0.03)
    # whole groups are drawn: 25 copies of a grade are one observation
    few = mean_interval([[grade] * 25 for grade in (1, 2, 3, 4)], 2000)
    assert few[0] < low and few[1] > high
