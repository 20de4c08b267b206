"""The files of Dialogue NLI (Welleck et al., 2019): sentence pairs with a label."""

import os

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.persona_metrics import LABELS
from p2bot_parlai.parlai_support.files import read_text

SEPARATOR = "</s>"

LabelledPair = tuple[str, str, str]


def add_nli_path(parser) -> None:
    parser.add_argument_group("Persona NLI").add_argument(
        "--nli-path",
        type=str,
        default=None,
        help="Folder with nli-train.txt and nli-valid.txt; default: <datapath>/dnli",
    )


def read_pairs(opt: Opt, fold: str) -> tuple[str, list[LabelledPair]]:
    """:return: path and pairs. :raises P2botError: if there is no file."""
    folder = opt.get("nli_path") or os.path.join(opt["datapath"], "dnli")
    path = os.path.join(folder, f"nli-{fold}.txt")
    if not PathManager.exists(path):
        raise P2botError(
            f"there is no {path}: say with --nli-path where the files of Dialogue NLI are "
            "(-t p2bot:persona_nli:sketch needs none)"
        )
    return path, parse_pairs(read_text(path), path)


def parse_pairs(text: str, name: str) -> list[LabelledPair]:
    """:raises P2botError: for a line of another form, by its number."""
    pairs = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fields = tuple(part.strip() for part in line.split(SEPARATOR))
        if len(fields) != 3 or fields[2] not in LABELS or not all(fields):
            raise P2botError(
                f"{name}, line {number}: not of the form utterance{SEPARATOR}profile sentence"
                f"{SEPARATOR}label, with {', '.join(LABELS)} as labels"
            )
        pairs.append(fields)
    if not pairs:
        raise P2botError(f"{name} holds no pairs")
    return pairs
