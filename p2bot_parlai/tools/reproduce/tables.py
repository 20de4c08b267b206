"""The paper's tables from evaluation reports: mean ± standard deviation over seeds."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.reproduce.presets import BASELINES, VARIANTS
from p2bot_parlai.tools.reproduce.steps import ABLATED, OURS, REWARDED, SUPERVISED

PAPER = json.loads(Path(__file__).with_name("paper.json").read_text(encoding="utf-8"))
NOTHING = "-"
# metric -> title; those that are shares are shown in per cent
TITLES = {
    "hits@1": "Hits@1 %",
    "ppl": "ppl",
    "ppl_word": "ppl a word",
    "f1": "F1 %",
    "bleu-4": "BLEU %",
    "mrr": "MRR %",
}
SHARES = ("hits@1", "f1", "bleu-4", "mrr")
# rankers that say the best of the candidates, one of them the truth: their F1 means nothing
RANKERS = ("Dually Interactive Matching", "IR")
LOST = "Lost In Conversation"

Reports = Mapping[tuple[str, str], Sequence[Mapping]]


@dataclass(frozen=True)
class Summary:
    """:param std: sample standard deviation (n - 1); None of a single value."""

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + ("" if self.std is None else f" ± {self.std:.2f}")


@dataclass(frozen=True)
class Table:
    """:param theirs: columns that hold the paper's figures."""

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]
    theirs: tuple[int, ...]


def summarise(reports: Sequence[Mapping], metric: str) -> Summary | None:
    """A metric over the reports of all seeds, shares in per cent; None where it is not there."""
    values = [report.get(metric) for report in reports]
    if not values or None in values:
        return None
    numbers = [float(value) * (100 if metric in SHARES else 1) for value in values]
    return Summary(
        statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None
    )


def relative(value: Summary | None, base: Summary | None) -> str:
    """Change of the mean, as in Table 3's brackets; empty where there is none."""
    if value is None or base is None or base.mean == 0:
        return ""
    return f" ({100 * (value.mean - base.mean) / base.mean:+.1f}%)"


def table1(reports: Reports) -> list[Table]:
    """One table for original, one for revised personas."""
    rows = [*BASELINES, LOST, OURS]
    note = (
        "On the validation fold. Perplexity is a token, and tokens differ with the vocabulary: "
        "compare systems by ppl a word. Rankers have none. Dually Interactive Matching is a "
        "bi-encoder here, IR is not in the paper; Lost In Conversation is another network that is "
        "not trained here (docs/baselines.md)."
    )
    return [
        _table(
            f"Table 1, {variant} personas",
            note,
            rows,
            variant,
            ("hits@1", "ppl", "ppl_word", "f1"),
            reports,
            PAPER["1"],
        )
        for variant in VARIANTS
    ]


def table3(reports: Reports) -> list[Table]:
    note = (
        f"Revised personas; in brackets the change of the mean against {SUPERVISED}, likewise "
        "for the paper. - Persona reads no persona; - Next ranks by likelihood; each RS adds a "
        f"reward to those before it, + RS.3 is {OURS}. BLEU is 4-gram."
    )
    rows = [SUPERVISED, *ABLATED, *REWARDED]
    metrics = ("hits@1", "f1", "bleu-4")
    base = SUPERVISED
    return [_table("Table 3", note, rows, "revised", metrics, reports, PAPER["3"], base)]


def table5(reports: Reports) -> list[Table]:
    note = "Persona perception: the speaker's persona among 32; MRR over all profile sentences."
    rows = ["Random", "IR", "Receiver"]
    return [
        _table(
            f"Table 5, {variant} personas",
            note,
            rows,
            variant,
            ("hits@1", "mrr"),
            reports,
            PAPER["5"],
        )
        for variant in VARIANTS
    ]


MAKERS = {"1": table1, "3": table3, "5": table5}


def read_reports(table: str, measured: Mapping[tuple[str, str], Sequence[Path]], source: str):
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
                    for system, tasks in content.items():
                        report = tasks[f"{source}:self_{variant}"]
                        found.setdefault((system, variant), []).append(report)
                else:
                    found.setdefault((row, variant), []).append(content["report"])
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise P2botError(f"{file} is no report of an evaluation: {error}") from error
    return found


def _table(
    title: str,
    note: str,
    rows: Sequence[str],
    variant: str,
    metrics: Sequence[str],
    reports: Reports,
    paper: Mapping,
    base: str | None = None,
) -> Table:
    """Our column of each metric, then the paper's where it has one."""
    header, theirs = [""], []
    lines = [[row] for row in rows]
    for metric in metrics:
        header.append(TITLES[metric])
        for line, row in zip(lines, rows, strict=True):
            line.append(_ours(reports, row, variant, metric, base))
        if any(metric in paper.get(row, {}).get(variant, {}) for row in rows):
            theirs.append(len(header))
            header.append("paper")
            for line, row in zip(lines, rows, strict=True):
                line.append(_papers(paper, row, variant, metric, base))
    return Table(title, note, header, lines, tuple(theirs))


def _ours(reports: Reports, row: str, variant: str, metric: str, base: str | None) -> str:
    if row in RANKERS and metric == "f1":
        return NOTHING
    value = summarise(reports.get((row, variant), ()), metric)
    if value is None:
        return NOTHING
    if base in (None, row):
        return str(value)
    return f"{value}{relative(value, summarise(reports.get((base, variant), ()), metric))}"


def _papers(paper: Mapping, row: str, variant: str, metric: str, base: str | None) -> str:
    found = paper.get(row, {})
    value = found.get(variant, {}).get(metric)
    if value is None:
        return NOTHING
    summary = Summary(value, found.get("std", {}).get(variant, {}).get(metric))
    if base in (None, row):
        return str(summary)
    return f"{summary}{relative(summary, Summary(paper[base][variant][metric], None))}"
