"""Krippendorff's alpha, against his own figures and against its definition."""

import itertools

import numpy as np
import pytest

from p2bot_parlai.tools.human_eval.agreement import krippendorff_alpha, ordinal_difference

# Krippendorff (2011), section C: four observers, twelve units, missing values
OBSERVERS = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}


def units(observers: dict[str, str]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for name, line in observers.items():
        for unit, grade in enumerate(line.split()):
            if grade != ".":
                found.setdefault(unit, {})[name] = int(grade)
    return found


def naive_alpha(grades) -> float:
    """Mean difference within units over mean difference of all pairs, pair by pair."""
    graded = [list(by.values()) for by in grades.values() if len(by) > 1]
    pooled = [grade for unit in graded for grade in unit]

    def difference(a, b):
        low, high = sorted((a, b))
        between = sum(low <= grade <= high for grade in pooled)
        return (between - (pooled.count(a) + pooled.count(b)) / 2) ** 2 if a != b else 0

    observed = sum(
        difference(a, b) / (len(unit) - 1)
        for unit in graded
        for a, b in itertools.permutations(unit, 2)
    ) / len(pooled)
    expected = sum(difference(a, b) for a, b in itertools.permutations(pooled, 2))
    return 1 - observed / (expected / (len(pooled) * (len(pooled) - 1)))


def test_the_published_example():
    assert krippendorff_alpha(units(OBSERVERS)) == pytest.approx(0.815, abs=5e-4)


def test_it_is_the_definition():
    assert krippendorff_alpha(units(OBSERVERS)) == pytest.approx(naive_alpha(units(OBSERVERS)))
    fewer = {name: line[:13] for name, line in OBSERVERS.items()}
    assert krippendorff_alpha(units(fewer)) == pytest.approx(naive_alpha(units(fewer)))


def test_by_hand():
    # units (1,1) (1,2): n_1 = 3, n_2 = 1, difference (4 - 2)^2 = 4 for both D_o and D_e,
    # D_o = 2 of 4 pairs, D_e = 6 of 12: alpha = 1 - (2/4) / (6/12) = 0
    assert krippendorff_alpha({0: {"a": 1, "b": 1}, 1: {"a": 1, "b": 2}}) == pytest.approx(0)


def test_perfect_agreement_and_its_opposite():
    assert krippendorff_alpha({0: {"a": 1, "b": 1}, 1: {"a": 4, "b": 4}}) == 1
    assert krippendorff_alpha({0: {"a": 1, "b": 4}, 1: {"a": 4, "b": 1}}) < 0


def test_distant_grades_differ_more():
    near = {0: {"a": 1, "b": 2}, 1: {"a": 2, "b": 2}, 2: {"a": 3, "b": 3}, 3: {"a": 4, "b": 4}}
    far = near | {0: {"a": 1, "b": 4}}
    assert krippendorff_alpha(far) < krippendorff_alpha(near)


def test_the_difference_counts_what_lies_between():
    # Krippendorff: (n_c / 2 + what is between + n_k / 2) squared
    assert ordinal_difference(np.array([2, 4, 6]))[0, 2] == (1 + 4 + 3) ** 2


@pytest.mark.parametrize(
    "grades",
    [{}, {0: {"a": 1}, 1: {"b": 2}}, {0: {"a": 3, "b": 3}, 1: {"a": 3, "b": 3}}],
    ids=["none", "nothing twice", "always the same"],
)
def test_where_it_is_not_defined(grades):
    assert krippendorff_alpha(grades) is None


def test_units_rated_once_do_not_count():
    once = {99: {"A": 4}}
    assert krippendorff_alpha(units(OBSERVERS) | once) == krippendorff_alpha(units(OBSERVERS))
