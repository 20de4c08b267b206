"""Krippendorff's alpha for ordered grades, with any number of raters and gaps."""

from collections.abc import Hashable, Mapping

import numpy as np


def krippendorff_alpha(grades: Mapping[Hashable, Mapping[str, int]]) -> float | None:
    """
    1 - D_o / D_e with the ordinal difference (Krippendorff, 2011, "Computing Krippendorff's
    Alpha-Reliability", sections C and E).

    1 is perfect agreement, 0 what chance gives, below 0 less than that.

    :param grades: unit -> rater -> grade. Units that fewer than two raters graded say nothing.
    :return: None where alpha is not defined: no unit has two grades, or all grades that could
        be compared are the same one.
    """
    units = [list(by.values()) for by in grades.values() if len(by) > 1]
    values = sorted({grade for unit in units for grade in unit})
    if len(values) < 2:
        return None
    place = {value: index for index, value in enumerate(values)}
    coincidences = np.zeros((len(values), len(values)))  # o_ck: (V, V)
    for unit in units:
        counts = np.bincount([place[grade] for grade in unit], minlength=len(values))
        pairs = np.outer(counts, counts) - np.diag(counts)
        coincidences += pairs / (len(unit) - 1)
    totals = coincidences.sum(axis=1)  # n_c: (V,)
    difference = ordinal_difference(totals)
    observed = (coincidences * difference).sum()
    expected = (np.outer(totals, totals) - np.diag(totals)) * difference
    return float(1 - (totals.sum() - 1) * observed / expected.sum())


def ordinal_difference(totals: np.ndarray) -> np.ndarray:
    """
    (sum of n_g over g from c to k - (n_c + n_k) / 2) squared.

    :param totals: n_c, how often each grade was given, in the order of the grades: (V,).
    :return: (V, V).
    """
    middle = np.cumsum(totals) - totals / 2  # mean rank of each grade
    return (middle[:, None] - middle[None, :]) ** 2
