"""report.md and report.html of `parlai reproduce`."""

import json
from dataclasses import replace
from pathlib import Path

from p2bot_parlai.tools.human_eval import side_by_side
from p2bot_parlai.tools.report import Report, curves, svg_element, train_reports
from p2bot_parlai.tools.reproduce import machine
from p2bot_parlai.tools.reproduce.running import Runner
from p2bot_parlai.tools.reproduce.steps import Plan, as_command
from p2bot_parlai.tools.reproduce.tables import (
    LAYOUTS,
    PAPER,
    Table,
    differences,
    read_dumps,
    read_reports,
    tables,
)

# kind of training, by how its step begins -> metrics whose curves are drawn
CURVES = {
    "P2Bot-S.": ("loss", "nup_acc"),
    "Receiver.": ("loss", "true_first"),
    "P2Bot.": ("reward", "kl"),
}
CUT = "Trainings were limited in time, see above."
NOTE = (
    "Figures in brackets are the paper's own, taken from it and not measured here: its data, "
    "models and length of training may be others. Figures are means over seeds ± sample standard "
    "deviation; a single seed has none. Beside them stands the 95% interval (bootstrap over "
    "dialogues, all seeds together)."
)


def make_tables(plan: Plan) -> list[Table]:
    """Every table that was asked for."""
    found = []
    cut = f" {CUT}" if cut_short(plan) else ""
    for number, measured in sorted(plan.measured.items()):
        if number in LAYOUTS:
            rows = plan.preset.rows if number == "3" else ()
            reports = read_reports(number, measured, plan.preset.source)
            counts = {float(r["exs"]) for seeds in reports.values() for r in seeds if "exs" in r}
            bounds = sorted({min(counts), max(counts)}) if counts else ()
            more = f" Examples: {' to '.join(f'{n:,.0f}' for n in bounds)}." if counts else ""
            more += f" The rewards are {', '.join(plan.added)}." if number == "3" else ""
            dumps = read_dumps(number, measured, plan.preset.source)
            made = tables(number, reports, rows, dumps)
            if LAYOUTS[number].base:
                made += differences(number, dumps, rows)
            found += [replace(table, note=table.note + more + cut) for table in made]
    return found


def cut_short(plan: Plan) -> dict[str, str]:
    """How far the trainings came that the clock ended, by the name of the step."""
    found = {}
    for name, step in plan.steps.items():
        if "--max-train-time" in step.command:
            stats = json.loads(plan.file(name, "model.trainstats").read_text(encoding="utf-8"))
            found[name] = f"{stats['total_epochs']:.3g} epochs, {stats['train_steps']} updates"
    return found


def write(plan: Plan, runner: Runner, command: str) -> list[Table]:
    """
    Write report.md and report.html into the plan's folder.

    :param command: what was typed.
    :returns: the tables.
    """
    report = Report("P²Bot: the paper's tables")
    report.text(NOTE)
    facts = _facts(plan, runner, command)
    report.code("\n".join(f"{name}: {value}" for name, value in facts.items()))
    found = make_tables(plan)
    for table in found:
        report.section(table.title, table.note)
        report.table(table.header, table.rows)
    if plan.maps:
        report.section("Figure 6", "which profile sentence each utterance reveals (Eq. 11)")
    for file in plan.maps:
        report.drawing(svg_element(file.read_text(encoding="utf-8")), file.parent.name)
    if plan.answers:
        report.section(side_by_side.TITLE)
        side_by_side.add_contexts(report, _read_lines(plan.answers))
    report.section("Learning")
    for begins, metrics in CURVES.items():
        runs = {n: train_reports(plan.model(n)) for n in plan.steps if n.startswith(begins)}
        if "reward" in metrics:
            metrics = (*metrics, *plan.added)
        if runs:
            report.drawing(curves(runs, metrics), begins.rstrip("."))
    if plan.dialogues:
        report.section("Sample dialogues", "self-play on personas that were never trained on")
        for dialogue in _read_lines(plan.dialogues):
            _add_dialogue(report, dialogue)
    report.section("The commands")
    report.code("\n".join(as_command(step) for step in runner.steps))
    for ending in ("md", "html"):
        report.write(plan.folder / f"report.{ending}")
    return found


def _add_dialogue(report: Report, dialogue: dict) -> None:
    personas = (("user", dialogue["user_persona"]), ("P²Bot", dialogue["agent_persona"]))
    title = " | ".join(f"{who}: {' '.join(persona)}" for who, persona in personas)
    turns = dialogue["turns"]
    said = [line for t in turns for line in (("user", t["user"]), ("P²Bot", t["agent"]))]
    report.chat(title, said)


def _read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _facts(plan: Plan, runner: Runner, command: str) -> dict[str, str]:
    marks = {step.name: runner.done(step) or {} for step in runner.steps}
    seconds = sum(mark.get("seconds", 0) for mark in marks.values())
    cores = sum(mark.get("core_seconds", 0) for mark in marks.values())
    size, now = plan.size, machine.versions()
    examples = "all" if size.examples < 0 else f"the first {size.examples}"
    left = [step.name for step in runner.steps if step.name not in plan.steps]
    facts = {
        "command": command,
        "seeds": ", ".join(map(str, size.seeds)),
        "validation examples": examples + ", as far as the time went" * bool(size.minutes),
        "validation dialogues": plan.preset.dialogues or "all",
        **{f"not trained here: {name}": file for name, file in plan.preset.trained.items()},
        "time": f"{seconds / 3600:.2f} hours, {cores / 3600:.2f} core-hours, {len(marks)} steps",
        "machine": machine.hardware(),
        "versions": now,
        "paper": f"{PAPER['source']}, {PAPER['url']}",
    }
    if left:
        facts["not run yet"] = ", ".join(left)
    for name, done in cut_short(plan).items():
        facts[f"limited in time: {name}"] = done
    for name, mark in marks.items():
        for versions in set(mark.get("versions", ())) - {now}:
            facts[f"other versions: {name}"] = versions
    if size.scale != 1:
        facts["scale"] = f"{size.scale:g} of the training: a trial, these are no results"
    return facts
