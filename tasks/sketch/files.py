"""The files of the corpus in the data folder: made on first use, and kept."""

import os
import threading
from collections.abc import Iterable

from p2bot_parlai.parlai_support.files import whole
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


def _folder(datapath: str, seed: int, dialogues: int) -> str:
    return os.path.join(datapath, FOLDER, f"v{corpus.VERSION}_seed{seed}_{dialogues}")


def _write(path: str, lines: Iterable[str]) -> None:
    """Complete or not at all; other processes write the same lines under other names."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.{os.getpid()}.{threading.get_ident()}.part"
    with whole(path, part), open(part, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
