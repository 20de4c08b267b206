"""Krippendorff's alpha for ordinal grades, with any number of raters and missing ratings."""

from collections.abc import Iterable, Sequence

import numpy as np


def krippendorff_alpha(units: Iterable[Sequence[int]]) -> float | None:
    """
    1 - D_o / D_e with the ordinal difference (Krippendorff, 2011, "Computing Krippendorff's
    Alpha-Reliability", sections C and E).

    1 is perfect agreement, 0 is chance level.

    :param units: the grades that each unit was given. Units with fewer than two are ignored.
    :return: None if alpha is undefined: no unit has two grades, or all of them are equal.
    """
    pairable = [grades for grades in units if len(grades) > 1]
    values = sorted({grade for grades in pairable for grade in grades})
    if len(values) < 2:
        return None
    place = {value: index for index, value in enumerate(values)}
    coincidences = np.zeros((len(values), len(values)))  # o_ck: (V, V)
    for grades in pairable:
        counts = np.bincount([place[grade] for grade in grades], minlength=len(values))
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(grades) - 1)
    totals = coincidences.sum(axis=1)  # n_c: (V,)
    difference = ordinal_difference(totals)
    observed = (coincidences * difference).sum()
    expected = (np.outer(totals, totals) - np.diag(totals)) * difference
    return float(1 - (totals.sum() - 1) * observed / expected.sum())


def ordinal_difference(totals: np.ndarray) -> np.ndarray:
    """
    (sum of n_g over g from c to k - (n_c + n_k) / 2) squared.

    :param totals: n_c, how often each grade was given, in order of the grades: (V,).
    :return: (V, V).
    """
    middle = np.cumsum(totals) - totals / 2  # mean rank of each grade
    return (middle[:, None] - middle[None, :]) ** 2
