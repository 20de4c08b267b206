"""What the ratings say: distribution, mean, agreement, and which systems differ."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import PermutationMethod, wilcoxon

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval.agreement import krippendorff_alpha
from p2bot_parlai.tools.human_eval.scale import GRADES
from p2bot_parlai.tools.human_eval.study import Key, Study

RESAMPLES = 2000
# up to so many differences all 2^n signs are tried, ties or not
EXHAUSTIVE = 13


@dataclass(frozen=True)
class SystemResult:
    """
    :param counts: ratings of grade 1 to 4. :param contexts: how many these are of.
    :param mean: of all ratings; None where there are none.
    :param interval: 95% bootstrap interval of the mean, contexts drawn with replacement;
        None where there are fewer than two contexts.
    """

    name: str
    counts: tuple[int, ...]
    contexts: int
    mean: float | None
    interval: tuple[float, float] | None

    @property
    def ratings(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Comparison:
    """
    Two systems on the contexts that were rated for both.

    :param difference: mean over contexts, first minus second. :param pairs: contexts.
    :param unequal: contexts on which they differ, which the test is about.
    :param p: Wilcoxon signed-rank, two-sided; None without pairs.
    :param p_holm: the same, corrected for the number of comparisons (Holm, 1979).
    """

    first: str
    second: str
    difference: float | None
    pairs: int
    unequal: int
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class RaterResult:
    """:param rated: responses. :param mean: of the grades given."""

    name: str
    rated: int
    mean: float


@dataclass(frozen=True)
class Results:
    """
    :param responses: in the study. :param rated_twice: by two raters or more; alpha is of
        these. :param alpha: Krippendorff's, ordinal; None where it is not defined.
    """

    study: str
    responses: int
    rated_twice: int
    alpha: float | None
    systems: tuple[SystemResult, ...]
    comparisons: tuple[Comparison, ...]
    raters: tuple[RaterResult, ...]


def evaluate(study: Study, key: Key, grades: Mapping[tuple[str, str], int]) -> Results:
    """
    :param grades: (rater, response) -> grade, see `ratings.latest`.
    :raises P2botError: where there are none.
    """
    if not grades:
        raise P2botError("there are no ratings yet: parlai human_eval rate")
    by_response: dict[str, dict[str, int]] = defaultdict(dict)
    by_rater: dict[str, list[int]] = defaultdict(list)
    for (rater, response), grade in grades.items():
        by_response[response][rater] = grade
        by_rater[rater].append(grade)
    # system -> context -> rater -> grade
    judged: dict[str, dict[int, dict[str, int]]] = {name: {} for name in key.systems}
    for number, item in enumerate(study.items):
        for response in item.responses:
            for name in key.answered[response.id] if response.id in by_response else ():
                judged[name][number] = by_response[response.id]
    return Results(
        study=study.id,
        responses=sum(1 for _ in study.responses()),
        rated_twice=sum(len(by) > 1 for by in by_response.values()),
        alpha=krippendorff_alpha(by_response),
        systems=tuple(_system(name, found) for name, found in judged.items()),
        comparisons=compare_all(judged),
        raters=tuple(
            RaterResult(name, len(given), float(np.mean(given)))
            for name, given in sorted(by_rater.items())
        ),
    )


def _system(name: str, judged: Mapping[int, Mapping[str, int]]) -> SystemResult:
    contexts = [list(by.values()) for by in judged.values()]
    given = [grade for context in contexts for grade in context]
    counts = tuple(given.count(grade) for grade in GRADES)
    mean = float(np.mean(given)) if given else None
    return SystemResult(name, counts, len(contexts), mean, bootstrap_interval(contexts))


def bootstrap_interval(contexts: Sequence[Sequence[int]]) -> tuple[float, float] | None:
    """
    95% percentile interval of the mean of all grades, whole contexts drawn with replacement.

    :param contexts: the grades of each. :return: None for fewer than two.
    """
    if len(contexts) < 2:
        return None
    sums = np.array([sum(grades) for grades in contexts], dtype=float)
    sizes = np.array([len(grades) for grades in contexts])
    drawn = np.random.default_rng(0).integers(len(contexts), size=(RESAMPLES, len(contexts)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


# ----------------------------------------------------------------------- comparisons
def compare_all(judged: Mapping[str, Mapping[int, Mapping[str, int]]]) -> tuple[Comparison, ...]:
    """:param judged: system -> context -> rater -> grade."""
    found = []
    for first, second in itertools.combinations(judged, 2):
        differences = paired_differences(judged[first], judged[second])
        p = signed_rank_p(differences)
        unequal = sum(difference != 0 for difference in differences)
        mean = float(np.mean(differences)) if differences else None
        found.append((first, second, mean, len(differences), unequal, p))
    corrected = iter(holm([p for *_, p in found if p is not None]))
    return tuple(Comparison(*f, None if f[-1] is None else next(corrected)) for f in found)


def paired_differences(
    first: Mapping[int, Mapping[str, int]], second: Mapping[int, Mapping[str, int]]
) -> list[float]:
    """
    For each context first minus second, the mean over the raters who rated both.

    One number a context: grades of one response by several raters are no independent pairs.
    """
    found = []
    for context in sorted(first.keys() & second.keys()):
        raters = sorted(first[context].keys() & second[context].keys())
        if raters:
            total = sum(first[context][r] - second[context][r] for r in raters)
            found.append(total / len(raters))
    return found


def signed_rank_p(differences: Sequence[float]) -> float | None:
    """
    Two-sided p of Wilcoxon's signed-rank test; equal pairs are left out, as he did.

    Exact for few differences, ties or not; for more the normal approximation with its
    correction for ties. :return: None without differences, 1 where none or one is not 0.
    """
    if not differences:
        return None
    # means over three raters must tie where they are equal
    unequal = [d for d in np.round(differences, 9) if d]
    if len(unequal) < 2:  # one alone: either sign is as likely
        return 1.0
    few = len(unequal) <= EXHAUSTIVE
    # as many resamples as there are signs: every one is tried, none is drawn
    method = PermutationMethod(n_resamples=2**EXHAUSTIVE) if few else "asymptotic"
    return float(wilcoxon(unequal, method=method).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p values for all together, in the given order."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
