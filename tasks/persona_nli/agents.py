"""``-t p2bot:persona_nli``: pairs of Dialogue NLI as a warm-up for the Receiver."""

import os

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tasks.persona_perception.agents import PersonaPerceptionTeacher
from p2bot_parlai.tasks.persona_perception.dialogues import SpokenDialogue

SEPARATOR = "</s>"
LABELS = ("positive", "neutral", "negative")


class PersonaNliTeacher(PersonaPerceptionTeacher):
    """
    Entailed pairs of Dialogue NLI (Welleck et al., 2019) as dialogues of one utterance.

    A file holds one ``utterance</s>profile sentence</s>label`` a line; the positive pairs
    are used, each as a dialogue of one utterance by a person with one profile sentence.
    Distractors are other sentences, as in `PersonaPerceptionTeacher`.

    Mind that the valid file of Dialogue NLI is made from the dev set of PersonaChat: who
    trains on it has seen the personas that the Receiver is evaluated with.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        parser.add_argument_group("Persona NLI").add_argument(
            "--nli-path",
            type=str,
            default=None,
            help="Folder with nli-train.txt and nli-valid.txt; default: <datapath>/dnli",
        )
        return parser

    @staticmethod
    def read(opt: Opt, fold: str) -> tuple[str, list[SpokenDialogue]]:
        folder = opt.get("nli_path") or os.path.join(opt["datapath"], "dnli")
        path = os.path.join(folder, f"nli-{fold}.txt")
        if not PathManager.exists(path):
            raise P2botError(f"there is no {path}: say where the pairs are with --nli-path")
        with PathManager.open(path, encoding="utf-8") as file:
            return path, parse_pairs(file.read(), path)


def parse_pairs(text: str, name: str) -> list[SpokenDialogue]:
    """:raises P2botError: for a line of another form, by its number."""
    dialogues = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fields = [part.strip() for part in line.split(SEPARATOR)]
        if len(fields) != 3 or fields[2] not in LABELS or not all(fields):
            raise P2botError(
                f"{name}, line {number}: not of the form utterance{SEPARATOR}profile sentence"
                f"{SEPARATOR}label, with {', '.join(LABELS)} as labels"
            )
        if fields[2] == LABELS[0]:
            dialogues.append(SpokenDialogue([fields[0]], [fields[1]]))
    return dialogues
