"""Krippendorff's alpha, against his own figures and by hand."""

import numpy as np
import pytest

from p2bot_parlai.metrics.agreement import krippendorff_alpha, ordinal_difference

# Krippendorff (2011), section C: four observers, twelve units, missing values
OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
UNITS = [
    [int(g) for g in unit if g != "."] for unit in zip(*(o.split() for o in OBSERVERS), strict=True)
]


def test_the_published_example():
    assert krippendorff_alpha(UNITS) == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha([*UNITS, [4]]) == krippendorff_alpha(UNITS), "rated once: ignored"


def test_by_hand():
    # units (1,1) (1,2): n_1 = 3, n_2 = 1, difference (4 - 2)^2 = 4 for both D_o and D_e,
    # D_o = 2 of 4 pairs, D_e = 6 of 12: alpha = 1 - (2/4) / (6/12) = 0
    assert krippendorff_alpha([[1, 1], [1, 2]]) == pytest.approx(0)
    assert krippendorff_alpha([[1, 1], [4, 4]]) == 1
    assert krippendorff_alpha([[1, 4], [4, 1]]) < 0
    # Krippendorff: (n_c / 2 + what is between + n_k / 2) squared
    assert ordinal_difference(np.array([2, 4, 6]))[0, 2] == (1 + 4 + 3) ** 2


@pytest.mark.parametrize("units", [[], [[1], [2]], [[3, 3], [3, 3]]])
def test_where_it_is_not_defined(units):
    assert krippendorff_alpha(units) is None
