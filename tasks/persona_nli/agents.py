"""
Dialogue NLI (Welleck et al., 2019): does an utterance entail a profile sentence?

``-t p2bot:persona_nli`` asks just that, for `p2bot/persona_nli`; ``-t p2bot:entailed_pairs``
takes the entailed pairs as dialogues, for the Receiver. Both read the same files.

The valid file of Dialogue NLI is made from the dev set of PersonaChat: do not train on it, or
the model has seen the personas of the evaluation.
"""

import csv
import io
import os
from collections.abc import Iterator

from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.teachers import FixedDialogTeacher
from parlai.utils.data import DatatypeHelper
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.nli import LABELS
from p2bot_parlai.parlai_support.dialogues import SpokenDialogue
from p2bot_parlai.parlai_support.files import read_text
from p2bot_parlai.parlai_support.sharding import own_share
from p2bot_parlai.tasks.persona_perception.agents import PersonaPerceptionTeacher
from p2bot_parlai.tasks.sketch.corpus import DIALOGUES
from p2bot_parlai.tasks.sketch.nli import sketch_pairs

SEPARATOR = "</s>"
COLUMNS = ("utterance", "persona_sentence", "label")
SKETCH = "sketch"

LabelledPair = tuple[str, str, str]


def add_nli_path(parser) -> None:
    parser.add_argument_group("Persona NLI").add_argument(
        "--nli-path",
        type=str,
        default=None,
        help="Folder with nli-train.txt and nli-valid.txt, or a CSV file with the columns "
        "utterance, persona_sentence and label, which is read in every fold; default: "
        "<datapath>/dnli",
    )


class PersonaNliTeacher(FixedDialogTeacher):
    """
    A message a pair: ``text`` holds the utterance and, on the next line, the profile
    sentence; the label is positive, neutral or negative.

    ``p2bot:persona_nli`` reads ``nli-<fold>.txt``, one
    ``utterance</s>profile sentence</s>label`` a line, or a CSV file;
    ``p2bot:persona_nli:sketch`` generates pairs from `p2bot:sketch`, which knows what its people
    say about themselves.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_nli_path(parser)
        return parser

    def __init__(self, opt: Opt, shared=None):
        super().__init__(opt, shared)
        self.id = opt["task"].removeprefix("p2bot:")
        self.pairs = shared["pairs"] if shared else self._read()
        self._own = self.pairs[own_share(opt)]
        self.reset()

    def _read(self) -> list[LabelledPair]:
        # like convai2, there is no test fold: valid is what models are compared on
        fold = "train" if DatatypeHelper.fold(self.opt["datatype"]) == "train" else "valid"
        variant = self.opt["task"].split(":")[2:]
        if not variant:
            return read_pairs(self.opt, fold)[1]
        if variant != [SKETCH]:
            raise P2botError(
                f"{self.opt['task']}: choose p2bot:persona_nli, which reads files, or "
                f"p2bot:persona_nli:{SKETCH}, which generates pairs"
            )
        return sketch_pairs(fold, self.opt.get("sketch_seed", 1), DIALOGUES)

    def share(self):
        return {**super().share(), "pairs": self.pairs}

    def num_episodes(self) -> int:
        return len(self._own)

    def num_examples(self) -> int:
        """In training of all processes, as ParlAI adds up their epochs."""
        return len(self.pairs if self.training else self._own)

    def get(self, episode_idx: int, entry_idx: int = 0) -> Message:
        utterance, sentence, label = self._own[episode_idx]
        return Message(text=f"{utterance}\n{sentence}", labels=[label], episode_done=True)


class EntailedPairsTeacher(PersonaPerceptionTeacher):
    """
    The positive pairs, each as a dialogue of one utterance by a person with one profile
    sentence. Distractors are other sentences, as in `PersonaPerceptionTeacher`.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_nli_path(parser)
        return parser

    @staticmethod
    def read(opt: Opt, fold: str) -> tuple[str, list[SpokenDialogue]]:
        path, pairs = read_pairs(opt, fold)
        return path, [SpokenDialogue([a], [b]) for a, b, label in pairs if label == LABELS[0]]


def read_pairs(opt: Opt, fold: str) -> tuple[str, list[LabelledPair]]:
    """:return: path and pairs. :raises P2botError: if there is no file."""
    path = opt.get("nli_path") or os.path.join(opt["datapath"], "dnli")
    if not path.endswith(".csv"):
        path = os.path.join(path, f"nli-{fold}.txt")
    if not PathManager.exists(path):
        raise P2botError(
            f"there is no {path}: say where the pairs are with --nli-path, or take "
            f"-t p2bot:persona_nli:{SKETCH}, which makes its own"
        )
    return path, parse_pairs(read_text(path), path)


def parse_pairs(text: str, name: str) -> list[LabelledPair]:
    """
    :param name: of the file; where it ends in .csv, so does its form.
    :raises P2botError: for a line of another form, by its number.
    """
    form, rows = f"utterance{SEPARATOR}profile sentence{SEPARATOR}label", _rows
    if name.endswith(".csv"):
        form, rows = f"CSV with the columns {', '.join(COLUMNS)}", _csv_rows
    pairs = []
    for number, row in rows(text):
        fields = tuple(part.strip() for part in row)
        if len(fields) != 3 or fields[2] not in LABELS or not all(fields):
            raise P2botError(
                f"{name}, line {number}: not of the form {form}, with {', '.join(LABELS)} as labels"
            )
        pairs.append(fields)
    if not pairs:
        raise P2botError(f"{name} holds no pairs")
    return pairs


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of each line that is not empty."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.split(SEPARATOR)


def _csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.DictReader(io.StringIO(text), restval="")
    try:
        for row in reader:
            yield reader.line_num, [" ".join(row.get(name, "").split()) for name in COLUMNS]
    except csv.Error:  # a quotation mark that nothing closes
        yield reader.line_num, []
