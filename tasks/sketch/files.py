"""The files of the corpus in the data folder: made when first asked for, and kept."""

import contextlib
import os
import tempfile
from collections.abc import Iterable

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import read_text
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

    :raises P2botError: where the file was changed.
    """
    try:
        return [
            [None if word == corpus.NONE else int(word) for word in line.split()]
            for line in read_text(path).split("\n")[:-1]
        ]
    except ValueError as error:
        raise P2botError(f"{path} was changed: delete it, and it is made anew") from error


def _folder(datapath: str, seed: int, dialogues: int) -> str:
    return os.path.join(datapath, FOLDER, f"v{corpus.VERSION}_seed{seed}_{dialogues}")


def _write(path: str, lines: Iterable[str]) -> None:
    """
    Complete or not at all. Processes that write the same file at once do not disturb each
    other: each has a file of its own until it is renamed, and all hold the same.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are for their owner alone
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
