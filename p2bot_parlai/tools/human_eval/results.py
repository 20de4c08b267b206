"""Table 2 and what belongs to it, as text, Markdown and JSON."""

from collections.abc import Sequence
from dataclasses import asdict

from p2bot_parlai.tools.human_eval.scale import GRADES, PAPER_TABLE_2
from p2bot_parlai.tools.human_eval.statistics import Results

HEADER = ("Model", *(f"{grade} (%)" for grade in GRADES), "Avg", "95%", "ratings", "contexts")
PAPER_NOTE = "(paper): from Table 2 of the paper, other raters and responses; not measured here."
TEST_NOTE = (
    "p: Wilcoxon signed-rank, two-sided, one pair a context (mean over raters who rated both), "
    "equal pairs left out; Holm: corrected for all comparisons."
)


def table_rows(results: Results) -> list[list[str]]:
    """The systems in the study's order, then the paper's rows."""
    rows = []
    for system in results.systems:
        total = system.ratings
        shares = [f"{100 * count / total:.1f}" if total else "-" for count in system.counts]
        mean = "-" if system.mean is None else f"{system.mean:.3f}"
        between = "{:.2f}-{:.2f}".format(*system.interval) if system.interval else "-"
        rows.append([system.name, *shares, mean, between, str(total), str(system.contexts)])
    return rows


def paper_rows() -> list[list[str]]:
    """Interval and counts are empty: the paper gives none."""
    rows = []
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


COMPARISON_HEADER = ("Comparison", "difference", "contexts", "unequal", "p", "p (Holm)")


def p_text(p: float | None) -> str:
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def agreement_text(results: Results) -> str:
    """One sentence, also where there is no number."""
    rated = f"{results.rated_twice} of {results.responses} responses rated by two or more"
    if results.alpha is not None:
        return f"Krippendorff's alpha (ordinal): {results.alpha:.3f} ({rated})"
    why = "all their grades are the same" if results.rated_twice else "two raters are needed"
    return f"Krippendorff's alpha (ordinal): not defined, {why} ({rated})"


def raters_text(results: Results) -> str:
    each = (f"{r.name} {r.rated} (mean {r.mean:.2f})" for r in results.raters)
    return "Raters: " + ", ".join(each)


def as_text(results: Results) -> str:
    """For the terminal."""
    blocks = [_aligned([HEADER, *table_rows(results), *paper_rows()]), PAPER_NOTE]
    blocks += [agreement_text(results), raters_text(results)]
    if results.comparisons:
        blocks += [_aligned([COMPARISON_HEADER, *comparison_rows(results)]), TEST_NOTE]
    return "\n\n".join(blocks)


def as_markdown(results: Results) -> str:
    """The paper's rows stand in italics."""
    paper = [[f"*{cell}*" if cell else "" for cell in row] for row in paper_rows()]
    blocks = ["## Human evaluation (Table 2)"]
    blocks += [_markdown(HEADER, table_rows(results), paper), PAPER_NOTE]
    blocks += [agreement_text(results), escape(raters_text(results))]
    if results.comparisons:
        blocks += [_markdown(COMPARISON_HEADER, comparison_rows(results)), TEST_NOTE]
    return "\n\n".join(blocks) + "\n"


def as_json(results: Results) -> dict:
    """Everything that `Results` holds, and the paper's rows under ``paper``."""
    paper = {name: row._asdict() for name, row in PAPER_TABLE_2.items()}
    return {**asdict(results), "paper": paper}


def escape(text: str) -> str:
    """Text that Markdown and the HTML in it leave as it is."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, "\\" + sign)
    return text


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *rest = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def _markdown(header: Sequence[str], rows: Sequence, ready: Sequence = ()) -> str:
    """:param rows: plain text, escaped here. :param ready: rows that are Markdown already."""
    escaped = [[escape(cell) for cell in row] for row in rows]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *escaped, *ready]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
