"""Write an export folder completely or not at all, and never over other files."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2bot_parlai.errors import P2botError


@contextmanager
def new_folder(out: str) -> Iterator[Path]:
    """
    A folder to write to, which becomes ``out`` when it is complete.

    :raises P2botError: if ``out`` holds files already, or cannot be written.
    """
    final = Path(out).absolute()
    if final.is_file() or (final.is_dir() and any(final.iterdir())):
        raise P2botError(f"--out {out} exists: name a new or an empty folder")
    work = final.with_name(f"{final.name}.{os.getpid()}.tmp")
    try:
        work.mkdir(parents=True)
        yield work
        for path in work.rglob("*"):  # safetensors creates files readable only by the owner
            if path.is_file():
                path.chmod(work.stat().st_mode & 0o666)
        work.rename(final)  # also replaces an empty folder
    except OSError as error:
        raise P2botError(f"--out {out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
