"""What the demo found, as text and as report.html."""

import platform
from collections.abc import Sequence
from pathlib import Path

from p2bot_parlai.method.transcript import as_text as dialogue_text
from p2bot_parlai.tools.report import Report, curves, train_reports

COLUMNS = {"hits@1": "hits@1 %", "ppl": "ppl", "f1": "F1 %", "bleu-4": "BLEU-4 %"}
PERCENT = ("hits@1", "f1", "bleu-4")
PERCEPTION = {"hits@1": "hits@1 of 32 %", "mrr": "MRR %", "true_cell": "true cell %"}
REWARDS = ("reward", "style", "coherence", "persona", "kl")


def transmitter_rows(figures: dict) -> list[list[str]]:
    rows = []
    for name, report in figures["transmitter"].items():
        cells = (f"{report[c] * (100 if c in PERCENT else 1):.2f}" for c in COLUMNS)
        rows.append([name, *cells])
    return rows


def perception_rows(figures: dict) -> list[list[str]]:
    rows = []
    for model, tasks in figures["receiver"].items():
        for task, report in tasks.items():
            values = [report.get(metric) for metric in PERCEPTION]
            cells = ["-" if value is None else f"{100 * value:.1f}" for value in values]
            rows.append([f"{model}, {task.rsplit('_', 1)[-1]}", *cells])
    return rows


def as_text(figures: dict) -> str:
    tables = [
        _aligned(["", *COLUMNS.values()], transmitter_rows(figures)),
        _aligned(["", *PERCEPTION.values()], perception_rows(figures)),
    ]
    return "\n\n".join(tables + [dialogue_text(d) for d in figures["dialogues"][:2]])


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)


def write(path: Path, figures: dict, commands: Sequence[str], minutes: float) -> None:
    folder = figures["folder"]
    report = Report("P²Bot in miniature")
    report.text(f"Made in {minutes:.1f} minutes on {platform.machine()}, no network needed.")
    report.section("Transmitter", "P²Bot-S is supervised, P²Bot fine-tuned by self-play")
    report.table(["", *COLUMNS.values()], transmitter_rows(figures))
    report.section("Receiver", "persona perception against random and TF-IDF, the same lists")
    report.table(["", *PERCEPTION.values()], perception_rows(figures))
    svg = figures["relevance"]
    report.drawing(svg[svg.index("<svg") :], "which profile sentence each utterance shows")
    report.section("Learning")
    runs = {name: train_reports(folder / name) for name in ("P2Bot-S", "no-persona")}
    report.drawing(curves(runs, ["loss", "nup_acc"]), "supervised training")
    report.drawing(curves({"Receiver": train_reports(folder / "Receiver")}, ["loss", "true_first"]))
    report.drawing(curves({"P²Bot": train_reports(folder / "P2Bot")}, REWARDS), "self-play")
    report.section("Two dialogues", "self-play on personas that were never trained on")
    for dialogue in figures["dialogues"][:2]:
        personas = (
            ("user", dialogue["user_persona"]),
            ("P²Bot", dialogue["agent_persona"]),
        )
        title = " | ".join(f"{who}: {' '.join(persona)}" for who, persona in personas)
        lines = []
        for turn in dialogue["turns"]:
            lines += [("user", turn["user"]), ("P²Bot", turn["agent"])]
        report.chat(title, lines)
    report.section("The commands")
    report.code("\n\n".join(commands))
    report.write(path)
