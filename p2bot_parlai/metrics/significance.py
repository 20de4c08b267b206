"""
Is the difference between two systems significant? Both answered the same examples.

- The interval is from a paired bootstrap (Efron's BCa).
- p is from a paired permutation test: under the null hypothesis the outputs are exchangeable.

Whole dialogues are resampled and exchanged: their turns share persona and history, so they are
not independent (``unit="turn"`` resamples single turns).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.intervals import BATCH, CONFIDENCE, bootstrap_interval

PERPLEXITIES = ("ppl", "ppl_word")
DISTINCT = {"distinct-1": 1, "distinct-2": 2}
UNITS = ("dialogue", "turn")
# up to this many differences, the signed-rank test tries all 2^n signs
EXHAUSTIVE = 13


@dataclass
class Example:
    """
    One response.

    :param name: identifies the example by its context, label and task: the same in every dump
        of the same data. :param dialogue: identifies its dialogue likewise.
    :param metrics: name -> (sum, weight); the report's value is the quotient of the sums over
        examples, or its exponential for `PERPLEXITIES`.
    :param ngrams: order -> n-grams of the response.
    """

    name: str
    dialogue: str
    task: str
    metrics: dict[str, tuple[float, float]]
    ngrams: dict[int, Counter] = field(repr=False)


@dataclass
class Comparison:
    """
    :param first: the metric of the first system. :param second: of the second.
    :param low: bounds of the 95% interval of ``second - first``. :param units: dialogues (or
        turns) that have the metric.
    """

    metric: str
    first: float
    second: float
    low: float
    high: float
    p: float
    units: int

    @property
    def difference(self) -> float:
        return self.second - self.first


def pair_up(first: Sequence[Example], second: Sequence[Example]) -> list[tuple[Example, Example]]:
    """The examples that both have, in the first one's order."""
    others = {example.name: example for example in second}
    return [(example, others[example.name]) for example in first if example.name in others]


def compare(
    pairs: Sequence[tuple[Example, Example]],
    metrics: Sequence[str],
    seed: int,
    resamples: int = 9999,
    unit: str = "dialogue",
) -> list[Comparison]:
    """
    One comparison per metric.

    :param metrics: names as in the report. :param resamples: of the bootstrap and of the
        permutation test, which is exact if there are no more permutations than this.
    :return: a metric that only one unit has gets no interval (nan), and p = 1; one that is
        infinite for a system neither (nan).
    :raises P2botError: for fewer than two units.
    """
    groups: dict[str, list[tuple[Example, Example]]] = {}
    for pair in pairs:
        groups.setdefault(pair[0].dialogue if unit == "dialogue" else pair[0].name, []).append(pair)
    if len(groups) < 2:
        raise P2botError(
            f"there are {len(pairs)} examples in {len(groups)} {unit}s that both have: at least "
            "2 are needed (--num-examples, --unit)"
        )
    found = []
    for metric in metrics:  # seeded by name: the order of the metrics does not matter
        rng = np.random.default_rng([seed, *metric.encode()])
        if metric in DISTINCT:
            found.append(_compare_distinct(metric, groups.values(), rng, resamples))
        else:
            found.append(_compare_ratio(metric, groups.values(), rng, resamples))
    return found


def interval(
    examples: Sequence[Example], metric: str, resamples: int = 9999
) -> tuple[float, float] | None:
    """
    95% interval of one system's metric, as the report has it: a bootstrap over dialogues.

    :param examples: those of several seeds may be given together: a dialogue is one unit.
    :return: None where fewer than two dialogues have the metric.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for example in examples:
        if metric in example.metrics:
            groups.setdefault(example.dialogue, []).append(example.metrics[metric])
    if len(groups) < 2:
        return None
    sums = np.array([np.sum(group, axis=0) for group in groups.values()])  # (U, sum or weight)
    rng = np.random.default_rng([*metric.encode()])
    return bootstrap_interval((sums[:, 0], sums[:, 1]), _ratio(metric), rng, resamples)


# ------------------------------------------------------------------ means and perplexities
def _ratio(metric: str):
    """A metric from the sums and the weights of units."""

    def value(numerators, weights, axis=-1):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            mean = numerators.sum(axis=axis) / weights.sum(axis=axis)
            return np.exp(mean) if metric in PERPLEXITIES else mean

    return value


def _compare_ratio(metric, groups, rng, resamples) -> Comparison:
    sums = np.array([_sums(metric, group) for group in groups])  # (U, system, sum or weight)
    sums = sums[(sums[:, :, 1] > 0).any(axis=1)]
    value = _ratio(metric)

    def difference(n1, w1, n2, w2, axis=-1):
        return value(n2, w2, axis) - value(n1, w1, axis)

    columns = [sums[:, system, part] for system in (0, 1) for part in (0, 1)]
    means = value(*columns[:2]), value(*columns[2:])
    if len(sums) < 2:  # no variance to estimate
        return Comparison(metric, *means, np.nan, np.nan, 1.0, len(sums))
    if np.isinf(means).any():  # infinity minus infinity is not a number
        return Comparison(metric, *means, np.nan, np.nan, np.nan, len(sums))
    low, high = bootstrap_interval(columns, difference, rng, resamples)
    table = sums.swapaxes(0, 1).reshape(-1, 2)  # first system's units, then the second's
    p = _permutation(len(sums), lambda rows: value(table[rows, 0], table[rows, 1]), rng, resamples)
    return Comparison(metric, *means, low, high, p, len(sums))


def _sums(metric: str, group) -> list[list[float]]:
    """[sum, weight] of a unit for each system."""
    rows = [[pair[system].metrics.get(metric, (0.0, 0.0)) for pair in group] for system in (0, 1)]
    return [[sum(part) for part in zip(*row, strict=True)] for row in rows]


def _permutation(units: int, value, rng, resamples: int) -> float:
    """:param value: of rows, int (..., U); rows below U are the first system's units."""
    from scipy.stats import permutation_test

    def difference(one, other, axis=-1):
        return value(np.moveaxis(other, axis, -1)) - value(np.moveaxis(one, axis, -1))

    rows = np.arange(units)
    return float(
        permutation_test(
            (rows, rows + units),
            difference,
            permutation_type="samples",
            vectorized=True,
            n_resamples=resamples,
            batch=BATCH,
            axis=-1,
            rng=rng,
        ).pvalue
    )


# ---------------------------------------------------------------------------- distinct-n
def _compare_distinct(metric, groups, rng, resamples) -> Comparison:
    """
    Distinct-n is not a mean: it falls as the corpus grows, and with every unit that a bootstrap
    draws twice. So the interval is the jackknife's, which leaves out one unit at a time.
    """
    from scipy.sparse import csr_array
    from scipy.stats import norm

    counts = [
        sum((pair[system].ngrams.get(DISTINCT[metric], Counter()) for pair in group), Counter())
        for system in (0, 1)
        for group in groups
    ]
    units = len(counts) // 2
    index = {gram: i for i, gram in enumerate({gram for count in counts for gram in count})}
    columns = [index[gram] for count in counts for gram in count]
    starts = np.cumsum([0, *map(len, counts)])
    present = csr_array(
        (np.ones(len(columns)), columns, starts), shape=(2 * units, max(1, len(index)))
    )
    tokens = np.array([count.total() for count in counts], dtype=float)

    def value(rows):
        flat = rows.reshape(-1, rows.shape[-1])
        starts = np.arange(0, flat.size + 1, flat.shape[1])
        chosen = csr_array(
            (np.ones(flat.size), flat.ravel(), starts), shape=(len(flat), len(tokens))
        )
        kinds = np.diff((chosen @ present).indptr)
        return (kinds / np.maximum(1, chosen @ tokens)).reshape(rows.shape[:-1])

    own = [np.arange(units) + system * units for system in (0, 1)]
    without = ~np.eye(units, dtype=bool)
    left = [np.broadcast_to(rows, (units, units))[without].reshape(units, -1) for rows in own]
    jackknife = value(left[1]) - value(left[0])
    first, second = (float(value(rows)) for rows in own)
    variance = (units - 1) / units * ((jackknife - jackknife.mean()) ** 2).sum()
    reach = norm.ppf((1 + CONFIDENCE) / 2) * variance**0.5
    p = _permutation(units, value, rng, resamples)
    low, high = second - first - reach, second - first + reach
    return Comparison(metric, first, second, float(low), float(high), p, units)


# ------------------------------------------------------------------------- paired grades
def signed_rank_p(differences: Sequence[float]) -> float | None:
    """
    Two-sided p of Wilcoxon's signed-rank test; zero differences are dropped.

    Exact for few differences, with or without ties; otherwise the normal approximation,
    corrected for ties.

    :return: None without differences; 1 if fewer than two are not 0.
    """
    from scipy.stats import PermutationMethod, wilcoxon

    if not differences:
        return None
    # means over three raters must tie where they are equal
    unequal = [d for d in np.round(differences, 9) if d]
    if len(unequal) < 2:  # a single one: either sign is as likely
        return 1.0
    few = len(unequal) <= EXHAUSTIVE
    # as many resamples as there are signs: scipy then tries every one
    method = PermutationMethod(n_resamples=2**EXHAUSTIVE) if few else "asymptotic"
    return float(wilcoxon(unequal, method=method).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) for multiple comparisons, in the given order."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
