"""Table 2 with agreement and significance, as text, `Report` and JSON."""

from collections.abc import Iterator
from dataclasses import asdict

from p2bot_parlai.tools.human_eval.scale import GRADES, PAPER_TABLE_2
from p2bot_parlai.tools.human_eval.statistics import Results
from p2bot_parlai.tools.report import Report, laid_out

HEADER = ("Model", *(f"{grade} (%)" for grade in GRADES), "Avg", "95%", "ratings", "contexts")
COMPARISON_HEADER = ("Comparison", "difference", "contexts", "unequal", "p", "p (Holm)")
PAPER_NOTE = "(paper): from Table 2 of the paper: other raters and responses, not measured here."
TEST_NOTE = (
    "p: Wilcoxon signed-rank, two-sided, one pair per context (mean over raters who rated both), "
    "equal pairs dropped; Holm: corrected for all comparisons."
)


def table_rows(results: Results) -> list[list[str]]:
    """The systems in the study's order, then the paper's rows, which have no counts."""
    rows = []
    for system in results.systems:
        total = system.ratings
        shares = [f"{100 * count / total:.1f}" if total else "-" for count in system.counts]
        mean = "-" if system.mean is None else f"{system.mean:.3f}"
        between = "{:.2f}-{:.2f}".format(*system.interval) if system.interval else "-"
        rows.append([system.name, *shares, mean, between, str(total), str(system.contexts)])
    for name, row in PAPER_TABLE_2.items():
        shares = [f"{share:.1f}" for share in row.shares]
        rows.append([f"{name} (paper)", *shares, f"{row.mean:.3f}", "", "", ""])
    return rows


def comparison_rows(results: Results) -> list[list[str]]:
    rows = []
    for c in results.comparisons:
        difference = "-" if c.difference is None else f"{c.difference:+.3f}"
        counts = [str(c.pairs), str(c.unequal)]
        rows.append([f"{c.first} - {c.second}", difference, *counts, p_text(c.p), p_text(c.p_holm)])
    return rows


def p_text(p: float | None) -> str:
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def agreement_text(results: Results) -> str:
    rated = f"{results.rated_twice} of {results.responses} responses rated by two or more"
    if results.alpha is not None:
        return f"Krippendorff's alpha (ordinal): {results.alpha:.3f} ({rated})"
    why = "all their grades are the same" if results.rated_twice else "two raters are needed"
    return f"Krippendorff's alpha (ordinal): not defined, {why} ({rated})"


def raters_text(results: Results) -> str:
    each = (f"{r.name} {r.rated} (mean {r.mean:.2f})" for r in results.raters)
    return "Raters: " + ", ".join(each)


def blocks(results: Results) -> Iterator[str | tuple[tuple[str, ...], list[list[str]]]]:
    """Paragraphs, and tables as header and rows."""
    yield HEADER, table_rows(results)
    yield from (PAPER_NOTE, agreement_text(results), raters_text(results))
    if results.comparisons:
        yield COMPARISON_HEADER, comparison_rows(results)
        yield TEST_NOTE


def as_text(results: Results) -> str:
    """For the terminal."""
    return "\n\n".join(b if isinstance(b, str) else laid_out(*b) for b in blocks(results))


def as_report(results: Results) -> Report:
    report = Report("Human evaluation (Table 2)")
    for block in blocks(results):
        report.text(block) if isinstance(block, str) else report.table(*block)
    return report


def as_json(results: Results) -> dict:
    """Everything that `Results` holds, and the paper's rows under ``paper``."""
    paper = {name: row._asdict() for name, row in PAPER_TABLE_2.items()}
    return {**asdict(results), "paper": paper}
