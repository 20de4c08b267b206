"""``parlai import_dialogues``: dialogues of other forms as files that every command reads."""

import os
import random

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support.files import check_place, read_text, whole
from p2bot_parlai.tools.importing.reading import Imported, read_dialogues
from p2bot_parlai.tools.importing.writing import draw_distractors, lines, people


def summary(dialogues: list[Imported]) -> str:
    """What a file holds, in one line."""
    turns = [turn for dialogue in dialogues for turn in dialogue.turns]
    personas = [dialogue.persona for dialogue in dialogues if dialogue.persona]
    counts = [len(turn.distractors or ()) for turn in turns]
    return (
        f"{len(dialogues)} dialogues ({len(set(people(dialogues)))} people, "
        f"{len(dialogues) - len(personas)} without a persona), {len(turns)} replies with "
        f"{min(counts)} to {max(counts)} distractors each"
    )


@register_script("import_dialogues")
class ImportDialogues(ParlaiScript):
    """Convert dialogues of other forms (JSON, JSONL, CSV) to ConvAI2's format (--outfile FILE)."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(
            True, False, "Convert dialogues of other forms (docs/data.md) to ConvAI2's format"
        )
        group = parser.add_argument_group("Import")
        group.add_argument(
            "dialogues",
            nargs="?",
            metavar="FILE",
            help="Hugging Face's PersonaChat (JSON), chat messages with role and content (JSON, "
            "JSONL) or Synthetic-Persona-Chat (CSV), told from what it holds",
        )
        group.add_argument(
            "--outfile",
            "--out",
            help="File to write, for -t fromfile:fbformat; for a file with folds own.txt becomes "
            "own_train.txt and own_valid.txt",
        )
        group.add_argument(
            "--seed", type=int, default=0, help="Seed of the distractors, where the file has none"
        )
        return parser

    def run(self) -> list[str]:
        source, out = self.opt.get("dialogues"), self.opt.get("outfile")
        if not source or not out:
            raise UsageError(
                "name a file and where to write: parlai import_dialogues FILE --outfile FILE"
            )
        if os.path.abspath(source) == os.path.abspath(out):
            raise UsageError(f"--outfile {out} is the file to read: name another one")
        check_place(out, "--outfile")
        found = read_dialogues(read_text(source), source)
        for line in found.left_out:
            print(f"left out, {line}")
        print(
            f"{source}: {found.form}; left out: {len(found.left_out)} dialogues, "
            f"{found.unanswered} last utterances without a reply"
        )
        written = []
        for fold, dialogues in found.folds.items():
            draw_distractors(dialogues, random.Random(f"{self.opt['seed']} {fold}"))
            stem, ending = os.path.splitext(out)
            path = f"{stem}_{fold}{ending}" if fold else out
            with whole(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.writelines(lines(dialogues))
            print(f"wrote {path}: {summary(dialogues)}")
            written.append(path)
        return written
