"""Table 4: contexts with the answers of the human and every system side by side."""

import json
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from p2bot_parlai.tools.human_eval.answers import HUMAN
from p2bot_parlai.tools.human_eval.results import escape
from p2bot_parlai.tools.human_eval.sampling import Sample, named_turns
from p2bot_parlai.tools.report import Report

TITLE = "Sampled responses (Table 4)"


def records(samples: Sequence[Sample], answers: dict[str, list[str]]) -> list[dict]:
    """
    One dict per context: task, persona, context (pairs of "partner" or "speaker" and utterance,
    oldest first), and responses by system.
    """
    found = []
    for number, sample in enumerate(samples):
        seen = sample.dialogue()
        found.append(
            {
                "task": sample.task,
                "persona": seen.persona,
                "context": named_turns(seen),
                "responses": {name: given[number] for name, given in answers.items()},
            }
        )
    return found


def as_jsonl(found: Iterable[dict]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in found)


def shown_name(name: str) -> str:
    return "Human" if name == HUMAN else name


def as_markdown(found: Sequence[dict], command: str) -> str:
    return "\n\n".join([f"## {TITLE}", f"`{command}`", *markdown_tables(found)]) + "\n"


def markdown_tables(found: Sequence[dict]) -> list[str]:
    """One table per context, with the rows of the paper's table."""
    blocks = []
    for number, record in enumerate(found, start=1):
        rows = [("PERSONA", " ".join(f"{i}. {s}" for i, s in enumerate(record["persona"], 1)))]
        rows += [(f"CONTEXT, {who}", text) for who, text in record["context"]]
        rows += [(f"* {shown_name(n)}", text) for n, text in record["responses"].items()]
        cells = [[escape(cell) for cell in row] for row in rows]
        head = (str(number), escape(record["task"]))
        blocks.append(tabulate(cells, head, tablefmt="github", disable_numparse=True))
    return blocks


def write_html(found: Sequence[dict], command: str, path: str) -> None:
    """A self-contained page; see `Report`."""
    report = Report(TITLE)
    report.code(command)
    add_contexts(report, found)
    report.write(path)


def add_contexts(report: Report, found: Sequence[dict]) -> None:
    """Persona, context and responses, one section per context."""
    for number, record in enumerate(found, start=1):
        report.section(f"{number}. {record['task']}")
        report.chat("persona of the speaker", [("", s) for s in record["persona"]])
        report.chat("context", record["context"])
        answers = [(shown_name(n), text) for n, text in record["responses"].items()]
        report.chat("responses", answers)
