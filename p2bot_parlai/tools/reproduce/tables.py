"""
The paper's tables from evaluation reports: mean ± standard deviation over seeds, and intervals
over dialogues.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from parlai.scripts.eval_model import get_task_world_logs

from p2bot_parlai.agents.response_metrics import HUMAN
from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.significance import Example, compare, interval, pair_up
from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.tools.reproduce.presets import BASELINES, PROMPTED, RANKED, VARIANTS
from p2bot_parlai.tools.reproduce.steps import BEST, DUMP, OURS, REWARDED, SUPERVISED

PAPER = json.loads(Path(__file__).with_name("paper.json").read_text(encoding="utf-8"))
NOTHING = "-"
# metric -> title; those in per cent are shares in the reports
TITLES = {
    "hits@1": "Hits@1 %",
    "ppl": "ppl",
    "ppl_word": "ppl a word",
    "f1": "F1 %",
    "bleu-4": "BLEU %",
    "mrr": "MRR %",
    "persona_f1": "Persona F1 %",
    "c_score": "C-score %",
}
ABOUT_PERSONA = ("persona_f1", "c_score")
CEILING = "Human"
# rankers answer with one of the candidates, one of them the truth: their F1 means nothing
RANKERS = ("Dually Interactive Matching", "IR")

# by row and personas: a report a seed, and the examples of each seed
Reports = Mapping[tuple[str, str], Sequence[Mapping]]
Dumps = Mapping[tuple[str, str], Sequence[Sequence[Example]]]
INTERVAL = "95%"


@dataclass(frozen=True)
class Layout:
    """:param base: row against whose mean the others' change is given."""

    rows: tuple[str, ...]
    metrics: tuple[str, ...]
    variants: tuple[str, ...]
    note: str
    base: str = ""


LAYOUTS = {
    "1": Layout(
        (*BASELINES, "Lost In Conversation", PROMPTED, "P²Bot-S", "- Persona", OURS, CEILING),
        ("hits@1", "ppl", "ppl_word", "f1", "bleu-4", *ABOUT_PERSONA),
        VARIANTS,
        "On the validation fold. P²Bot-S and - Persona are those of Table 3. "
        "Perplexity is per token, and tokens differ with the vocabulary: "
        "compare systems by ppl a word. Rankers have none. Dually Interactive Matching is a "
        "bi-encoder here, IR is not in the paper; Lost In Conversation is another network that is "
        f"not trained here (docs/baselines.md). {PROMPTED}: an instruct model that reads the "
        "persona as its system message, and ranks by mutual information. "
        f"{CEILING}: the true responses.",
    ),
    "3": Layout(
        (*SUPERVISED, *RANKED, *REWARDED, CEILING),
        ("hits@1", "f1", "bleu-4", *ABOUT_PERSONA),
        ("revised",),
        "In parentheses the change of the mean against P²Bot-S, likewise for the paper. "
        "- Persona reads no persona; - Next ranks by likelihood, MI by mutual information, and "
        f"+ MI by Eq. 3 and it. {CEILING}: the true responses. Each RS adds a reward to those "
        f"before it, {BEST} is {OURS}. BLEU is 4-gram.",
        base="P²Bot-S",
    ),
    "5": Layout(
        ("Random", "IR", "Receiver"),
        ("hits@1", "mrr"),
        VARIANTS,
        "Persona perception: the speaker's persona among 32; MRR over all profile sentences.",
    ),
}


@dataclass(frozen=True)
class Summary:
    """:param std: sample standard deviation (n - 1); None of a single value."""

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + ("" if self.std is None else f" ± {self.std:.2f}")


@dataclass(frozen=True)
class Table:
    """The first column names the rows; the paper's figures stand in brackets."""

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]


def summarise(reports: Sequence[Mapping], metric: str) -> Summary | None:
    """A metric over the reports of all seeds, shares in per cent; None where it is missing."""
    values = [report.get(metric) for report in reports]
    if not values or None in values:
        return None
    numbers = [_scaled(float(value), metric) for value in values]
    spread = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Summary(statistics.fmean(numbers), spread)


def tables(
    number: str, reports: Reports, rows: Sequence[str] = (), dumps: Dumps = MappingProxyType({})
) -> list[Table]:
    """
    Table ``number`` of the paper, one for each set of personas.

    :param rows: those of it; empty: all.
    :param dumps: what intervals are computed from.
    """
    layout = LAYOUTS[number]
    rows = _rows(layout, rows)
    found = []
    for variant in layout.variants:
        header, columns = [""], [list(rows)]
        for metric in layout.metrics:
            ours = {row: _ours(reports.get((row, variant), ()), row, metric) for row in rows}
            if metric in ABOUT_PERSONA and not any(ours.values()):
                continue
            header.append(TITLES[metric])
            columns.append(_column(ours, layout.base))
            pooled = {row: chain(*dumps.get((row, variant), ())) for row in rows if ours[row]}
            spans = {row: interval(list(examples), metric) for row, examples in pooled.items()}
            if any(spans.values()):
                header.append(INTERVAL)
                columns.append([_span(spans.get(row), metric) for row in rows])
            papers = {row: _papers(PAPER[number].get(row, {}), variant, metric) for row in rows}
            if any(papers.values()):
                header.append("[paper]")
                theirs = _column(papers, layout.base)
                columns.append([cell if cell == NOTHING else f"[{cell}]" for cell in theirs])
        lines = [list(line) for line in zip(*columns, strict=True)]
        found.append(Table(f"Table {number}, {variant} personas", layout.note, header, lines))
    return found


def differences(number: str, dumps: Dumps, rows: Sequence[str] = ()) -> list[Table]:
    """
    What the rows of a table differ by from its base on the same examples (`parlai compare`).

    :param rows: those of it; empty: all.
    """
    layout, found = LAYOUTS[number], []
    for variant in layout.variants:
        bases, lines = dumps.get((layout.base, variant), ()), []
        metrics = [m for m in layout.metrics if any(m in one.metrics for one in chain(*bases))]
        header = ["", *chain(*((TITLES[metric], INTERVAL, "p") for metric in metrics))]
        for row in _rows(layout, rows):
            seeds = zip(bases, dumps.get((row, variant), ()), strict=False)
            pairs = [pair for base, own in seeds for pair in pair_up(base, own)]
            # other personas are other examples, and one dialogue has no interval
            if row == layout.base or len({own.dialogue for _, own in pairs}) < 2:
                continue
            both = [m for m in metrics if any(m in own.metrics for _, own in pairs)]
            cells = {metric: [NOTHING] * 3 for metric in metrics}
            for one in compare(pairs, both, seed=0):
                change = f"{_scaled(one.difference, one.metric):+.2f}"
                span = _span((one.low, one.high), one.metric, "+")
                cells[one.metric] = [change, span, f"{one.p:.3f}"]
            lines.append([row, *chain(*cells.values())])
        if lines:
            title = f"Table {number}, {variant} personas: differences from {layout.base}"
            note = "On the same examples: paired bootstrap and permutation test over dialogues."
            found.append(Table(title, note, header, lines))
    return found


def _rows(layout: Layout, rows: Sequence[str]) -> Sequence[str]:
    """Those that were chosen, with the ceiling where the table has one; all if none were."""
    chosen = rows and {*rows, CEILING}
    return [row for row in layout.rows if not chosen or row in chosen]


def _scaled(value: float, metric: str) -> float:
    return value * (100 if TITLES[metric].endswith("%") else 1)


def _span(span: tuple[float, float] | None, metric: str, sign: str = "") -> str:
    if span is None:
        return NOTHING
    return " to ".join(f"{_scaled(bound, metric):{sign}.2f}" for bound in span)


def _ours(reports: Sequence[Mapping], row: str, metric: str) -> Summary | None:
    return None if row in RANKERS and metric == "f1" else summarise(reports, metric)


def _papers(figures: Mapping, variant: str, metric: str) -> Summary | None:
    value = figures.get(variant, {}).get(metric)
    spread = figures.get("std", {}).get(variant, {}).get(metric)
    return None if value is None else Summary(value, spread)


def _column(values: Mapping[str, Summary | None], base: str) -> list[str]:
    changes = [relative(v, values.get(base)) if row != base else "" for row, v in values.items()]
    pairs = zip(values.values(), changes, strict=True)
    return [NOTHING if value is None else f"{value}{change}" for value, change in pairs]


def relative(value: Summary | None, base: Summary | None) -> str:
    """Change of the mean, as in Table 3's brackets; empty where there is none."""
    if value is None or base is None or base.mean == 0:
        return ""
    return f" ({100 * (value.mean - base.mean) / base.mean:+.1f}%)"


def read_reports(
    table: str, measured: Mapping[tuple[str, str], Sequence[Path]], source: str
) -> dict[tuple[str, str], list[Mapping]]:
    """
    What the evaluations wrote, by row and personas, a report a seed.

    :param measured: files as `Plan.measured` has them.
    :raises P2botError: for a file that is no report.
    """
    found: dict[tuple[str, str], list[Mapping]] = {}
    for (row, variant), files in measured.items():
        for file in files:
            try:
                content = json.loads(file.read_text(encoding="utf-8"))
                if table == "5":
                    task = f"{source}:self_{variant}"
                    by_row = {system: tasks[task] for system, tasks in content.items()}
                else:
                    by_row = {row: content["report"]}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise P2botError(f"{file} is no report of an evaluation: {error}") from error
            for system, report in by_row.items():
                found.setdefault((system, variant), []).append(report)
                if human := _of_humans(report):
                    found.setdefault((CEILING, variant), [human])
    return found


def _of_humans(metrics: Mapping) -> dict:
    """The metrics of the labels, whoever was evaluated with them."""
    return {k.removeprefix(HUMAN): v for k, v in metrics.items() if k.startswith(HUMAN)}


def read_dumps(
    table: str, measured: Mapping[tuple[str, str], Sequence[Path]], source: str
) -> dict[tuple[str, str], list[list[Example]]]:
    """The examples of the evaluations, by row and personas, a list a seed; as `read_reports`."""
    found: dict[tuple[str, str], list[list[Example]]] = {}
    for (row, variant), files in measured.items():
        for file in (str(file.with_name(DUMP)) for file in files):
            for system in LAYOUTS["5"].rows if table == "5" else (row,):
                named = f"{system}_{source}:self_{variant}"
                path = get_task_world_logs(named, file, is_multitask=table == "5")
                examples = read_world_logs(path)
                found.setdefault((system, variant), []).append(examples)
                humans = [replace(one, metrics=_of_humans(one.metrics)) for one in examples]
                if any(one.metrics for one in humans):
                    found.setdefault((CEILING, variant), [humans])
    return found
