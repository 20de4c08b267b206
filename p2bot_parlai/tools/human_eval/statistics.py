"""What the ratings show: distribution, mean, agreement, and which systems differ."""

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.agreement import krippendorff_alpha
from p2bot_parlai.metrics.intervals import mean_interval
from p2bot_parlai.metrics.significance import holm, signed_rank_p
from p2bot_parlai.tools.human_eval.scale import GRADES
from p2bot_parlai.tools.human_eval.study import Key, Study

RESAMPLES = 2000


@dataclass(frozen=True)
class SystemResult:
    """
    :param counts: ratings of grade 1 to 4. :param contexts: that were rated.
    :param mean: of all ratings; None if there are none.
    :param interval: 95% bootstrap interval of the mean, contexts drawn with replacement;
        None for fewer than two contexts.
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
    :param unequal: contexts on which they differ; only these enter the test.
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
    :param responses: in the study. :param rated_twice: by two raters or more.
    :param alpha: Krippendorff's, ordinal; None if undefined.
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
    :raises P2botError: if there are none.
    """
    if not grades:
        raise P2botError("there are no ratings yet: run parlai human_eval_rate")
    by_response: dict[str, dict[str, int]] = defaultdict(dict)
    by_rater: dict[str, list[int]] = defaultdict(list)
    for (rater, response), grade in grades.items():
        by_response[response][rater] = grade
        by_rater[rater].append(grade)
    # system -> context -> rater -> grade
    rated: dict[str, dict[int, dict[str, int]]] = {name: {} for name in key.systems}
    for number, item in enumerate(study.items):
        for response in item.responses:
            for name in key.answered[response.id] if response.id in by_response else ():
                rated[name][number] = by_response[response.id]
    return Results(
        study=study.id,
        responses=len(study.ids),
        rated_twice=sum(len(by) > 1 for by in by_response.values()),
        alpha=krippendorff_alpha([list(by.values()) for by in by_response.values()]),
        systems=tuple(_system(name, found) for name, found in rated.items()),
        comparisons=compare_all(rated),
        raters=tuple(
            RaterResult(name, len(given), float(np.mean(given)))
            for name, given in sorted(by_rater.items())
        ),
    )


def _system(name: str, rated: Mapping[int, Mapping[str, int]]) -> SystemResult:
    contexts = [list(by.values()) for by in rated.values()]
    given = [grade for context in contexts for grade in context]
    counts = tuple(given.count(grade) for grade in GRADES)
    mean = float(np.mean(given)) if given else None
    return SystemResult(name, counts, len(contexts), mean, mean_interval(contexts, RESAMPLES))


def compare_all(rated: Mapping[str, Mapping[int, Mapping[str, int]]]) -> tuple[Comparison, ...]:
    """:param rated: system -> context -> rater -> grade."""
    found = []
    for first, second in itertools.combinations(rated, 2):
        differences = paired_differences(rated[first], rated[second])
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
    First minus second for each context, averaged over the raters who rated both.

    One number per context: several raters' grades of one response are not independent.
    """
    found = []
    for context in sorted(first.keys() & second.keys()):
        raters = first[context].keys() & second[context].keys()
        if raters:
            total = sum(first[context][r] - second[context][r] for r in raters)
            found.append(total / len(raters))
    return found
