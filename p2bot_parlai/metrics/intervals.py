"""Confidence intervals by Efron's BCa bootstrap (scipy)."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

CONFIDENCE = 0.95
BATCH = 500  # resamples in memory at once


def bootstrap_interval(
    columns: Sequence[np.ndarray],
    statistic: Callable[..., np.ndarray],
    rng: np.random.Generator,
    resamples: int,
) -> tuple[float, float]:
    """
    95% BCa interval of a statistic; the units are drawn with replacement.

    :param columns: values of each unit, each (U,); a unit's values are drawn together.
    :param statistic: of the columns, vectorised over ``axis``.
    :return: (low, high); the value twice if no resample changes it.
    """
    from scipy.stats import bootstrap  # takes half a second to import

    with warnings.catch_warnings():  # about a statistic that never changes
        warnings.simplefilter("ignore")
        interval = bootstrap(
            columns,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=resamples,
            batch=BATCH,
            confidence_level=CONFIDENCE,
            rng=rng,
        ).confidence_interval
    if np.isnan([interval.low, interval.high]).any():
        same = float(statistic(*columns))
        return same, same
    return float(interval.low), float(interval.high)


def mean_interval(groups: Sequence[Sequence[float]], resamples: int) -> tuple[float, float] | None:
    """
    95% interval of the mean of all values; whole groups are drawn with replacement.

    :return: None for fewer than two groups.
    """
    if len(groups) < 2:
        return None
    sums = np.array([sum(group) for group in groups], dtype=float)
    sizes = np.array([len(group) for group in groups], dtype=float)

    def mean(sums, sizes, axis=-1):
        return sums.sum(axis=axis) / sizes.sum(axis=axis)

    return bootstrap_interval((sums, sizes), mean, np.random.default_rng(0), resamples)
