"""The files of the corpus in the data folder: made on first use, and kept."""

import os
import threading
from collections.abc import Iterable

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import read_text, whole
from p2bot_parlai.tasks.sketch import corpus

FOLDER = "p2bot_sketch"


def data_file(
    datapath: str, fold: str, variant: str, candidates: bool, seed: int, dialogues: int
) -> str:
    """The path of ConvAI2's ``<fold>_<variant>[_no_cands].txt`` of this seed and size."""
    name = f"{fold}_{variant}{'' if candidates else '_no_cands'}.txt"
    path = os.path.join(_folder(datapath, seed, dialogues), name)
    if not os.path.exists(path):
        _write(path, corpus.file_lines(fold, variant, candidates, seed, dialogues))
    return path


def truth_file(datapath: str, fold: str, seed: int, dialogues: int) -> str:
    """The path of `corpus.truth_lines`."""
    path = os.path.join(_folder(datapath, seed, dialogues), f"{fold}_truth.txt")
    if not os.path.exists(path):
        _write(path, corpus.truth_lines(fold, seed, dialogues))
    return path


def read_truth(path: str) -> list[list[int | None]]:
    """
    For each dialogue, for each reply: the profile sentence that it reveals.

    :raises P2botError: if the file was changed.
    """
    try:
        return [
            [None if word == corpus.NONE else int(word) for word in line.split()]
            for line in read_text(path).split("\n")[:-1]
        ]
    except ValueError as error:
        raise P2botError(f"{path} was changed: delete it, and it is generated again") from error


def _folder(datapath: str, seed: int, dialogues: int) -> str:
    return os.path.join(datapath, FOLDER, f"v{corpus.VERSION}_seed{seed}_{dialogues}")


def _write(path: str, lines: Iterable[str]) -> None:
    """Complete or not at all; other processes write the same lines under other names."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.{os.getpid()}.{threading.get_ident()}.part"
    with whole(path, part), open(part, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
