"""The files of Dialogue NLI (Welleck et al., 2019): sentence pairs with a label."""

import csv
import io
import os
from collections.abc import Iterator

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.labels import LABELS
from p2bot_parlai.parlai_support.files import read_text

SEPARATOR = "</s>"
COLUMNS = ("utterance", "persona_sentence", "label")

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


def read_pairs(opt: Opt, fold: str) -> tuple[str, list[LabelledPair]]:
    """:return: path and pairs. :raises P2botError: if there is no file."""
    path = opt.get("nli_path") or os.path.join(opt["datapath"], "dnli")
    if not path.endswith(".csv"):
        path = os.path.join(path, f"nli-{fold}.txt")
    if not PathManager.exists(path):
        raise P2botError(
            f"there is no {path}: say with --nli-path where the pairs are "
            "(-t p2bot:persona_nli:sketch needs none)"
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
