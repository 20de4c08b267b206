"""Table 4: contexts with the answers of the human and every system side by side."""

import json
from collections.abc import Sequence

from p2bot_parlai.tools.human_eval.sampling import Sample, named_turns
from p2bot_parlai.tools.report import Report, write_text

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


def write(found: Sequence[dict], command: str, out: str) -> None:
    """``<out>.md``, ``<out>.html`` and ``<out>.jsonl``; makes their folder."""
    write_text(f"{out}.jsonl", "".join(f"{json.dumps(r, ensure_ascii=False)}\n" for r in found))
    report = Report(TITLE)
    report.code(command)
    add_contexts(report, found)
    for ending in ("md", "html"):
        report.write(f"{out}.{ending}")


def add_contexts(report: Report, found: Sequence[dict]) -> None:
    """Persona, context and responses, one section per context."""
    for number, record in enumerate(found, start=1):
        report.section(f"{number}. {record['task']}")
        persona = [(f"{place}.", text) for place, text in enumerate(record["persona"], start=1)]
        report.chat("persona of the speaker", persona)
        report.chat("context", record["context"])
        report.chat("responses", list(record["responses"].items()))
