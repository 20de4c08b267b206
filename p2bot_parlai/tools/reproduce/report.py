"""report.md and report.html of `parlai reproduce`."""

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.tools.human_eval import side_by_side
from p2bot_parlai.tools.report import Report, curves, svg_element, train_reports
from p2bot_parlai.tools.reproduce import machine
from p2bot_parlai.tools.reproduce.running import Runner, made_with_others
from p2bot_parlai.tools.reproduce.steps import Plan, as_command
from p2bot_parlai.tools.reproduce.tables import MAKERS, PAPER, Table, read_reports

TITLE = "P²Bot: the paper's tables"
# what of a kind of training is drawn, by how its step begins
CURVES = {
    "P2Bot-S.": ("loss", "nup_acc"),
    "Receiver.": ("loss", "true_first"),
    "P2Bot.": ("reward", "style", "coherence", "persona", "kl"),
}


def make_tables(plan: Plan) -> list[Table]:
    """Every table that was asked for."""
    source = plan.preset.source
    return [
        table
        for number, measured in plan.measured.items()
        if number in MAKERS
        for table in MAKERS[number](read_reports(number, measured, source))
    ]


def write(plan: Plan, runner: Runner, command: str) -> list[Table]:
    """
    Write report.md and report.html into the plan's folder.

    :param command: what was typed.
    :returns: the tables.
    """
    tables, facts = make_tables(plan), _facts(plan, runner, command)
    dialogues, answers = read_lines(plan.dialogues), read_lines(plan.answers)
    commands = "\n".join(as_command(step) for step in runner.steps)
    _markdown(plan.folder / "report.md", tables, facts, answers, dialogues, commands)
    _page(plan, tables, facts, answers, dialogues, commands)
    return tables


def as_markdown(table: Table) -> str:
    """The paper's figures in italics."""

    def line(cells: Sequence[str]) -> str:
        marked = (f"*{c}*" if i in table.theirs and c else c for i, c in enumerate(cells))
        return "| " + " | ".join(marked) + " |"

    rule = "|---" * len(table.header) + "|"
    return "\n".join([line(table.header), rule, *(line(row) for row in table.rows)])


def aligned(table: Table) -> str:
    """For a terminal; the paper's figures in brackets."""
    lines = [
        [f"[{c}]" if i in table.theirs else c for i, c in enumerate(line)]
        for line in [table.header, *table.rows]
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
        ).rstrip()
        for line in lines
    )


def read_lines(path: Path | None) -> list[dict]:
    """What `parlai selfplay_transcript` or `parlai sample_answers` wrote."""
    if path is None:
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _facts(plan: Plan, runner: Runner, command: str) -> dict[str, str]:
    marks = {step.name: runner.done(step) or {} for step in runner.steps}
    seconds = sum(mark.get("seconds", 0) for mark in marks.values())
    cores = sum(mark.get("core_seconds", 0) for mark in marks.values())
    size = plan.size
    facts = {
        "command": command,
        "seeds": ", ".join(map(str, size.seeds)),
        "validation examples": "all"
        if size.examples < 0
        else f"the first {size.examples}, to a whole batch",
        "time": f"{seconds / 3600:.2f} hours, {cores / 3600:.2f} core-hours, {len(marks)} steps",
        "machine": machine.hardware(),
        "versions": ", ".join(f"{name} {v}" for name, v in machine.versions().items()),
        "paper": f"{PAPER['source']}, {PAPER['url']}",
    }
    others = made_with_others(marks)
    if others:
        facts["other versions"] = f"some steps were run with them: {others}"
    if size.scale != 1:
        facts["scale"] = f"{size.scale:g} of the training: a trial, these are no results"
    return facts


THEIRS = (
    "Columns called paper hold the paper's own figures, taken from it and not measured here: "
    "its data, models and length of training may be others."
)
SPREAD = "Figures are means over seeds ± sample standard deviation; a single seed has none."


def _markdown(path: Path, tables, facts: Mapping, answers, dialogues, commands: str) -> None:
    parts = [f"# {TITLE}", THEIRS, SPREAD]
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts.items()))
    for table in tables:
        parts += [f"## {table.title}", table.note, as_markdown(table)]
    if answers:
        parts += [f"## {side_by_side.TITLE}", *side_by_side.markdown_tables(answers)]
    if dialogues:
        parts.append("## Sample dialogues")
        parts += [f"```\n{as_text(dialogue)}\n```" for dialogue in dialogues]
    parts += ["## The commands", f"```bash\n{commands}\n```"]
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _page(plan: Plan, tables, facts: Mapping, answers, dialogues, commands: str) -> None:
    page = Report(TITLE)
    page.text(f"{THEIRS} They are grey. {SPREAD}")
    page.table(["", ""], [[name, value] for name, value in facts.items()])
    for table in tables:
        page.section(table.title, table.note)
        page.table(table.header, table.rows, table.theirs)
    if plan.maps:
        page.section("Figure 6", "which profile sentence each utterance shows (Eq. 11)")
    for file in plan.maps:
        page.drawing(svg_element(file.read_text(encoding="utf-8")), file.parent.name)
    if answers:
        page.section(side_by_side.TITLE)
        side_by_side.add_contexts(page, answers)
    page.section("Learning")
    if importlib.util.find_spec("matplotlib"):
        for begins, metrics in CURVES.items():
            runs = {n: _logged(plan.model(n)) for n in plan.steps if n.startswith(begins)}
            if any(runs.values()):
                page.drawing(curves(runs, metrics), begins.rstrip("."))
    else:
        page.text('Curves need matplotlib: pip install "p2bot-parlai[plot]", then run it again.')
    if dialogues:
        page.section("Sample dialogues", "self-play on personas that were never trained on")
    for dialogue in dialogues:
        personas = (("user", dialogue["user_persona"]), ("P²Bot", dialogue["agent_persona"]))
        title = " | ".join(f"{who}: {' '.join(persona)}" for who, persona in personas)
        lines = [
            said
            for turn in dialogue["turns"]
            for said in (("user", turn["user"]), ("P²Bot", turn["agent"]))
        ]
        page.chat(title, lines)
    page.section("The commands")
    page.code(commands)
    page.write(plan.folder / "report.html")


def _logged(model: Path) -> list[dict]:
    return train_reports(model) if Path(f"{model}.trainstats").exists() else []
