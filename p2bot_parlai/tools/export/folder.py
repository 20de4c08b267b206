"""Write an export folder completely or not at all, and never over files of others."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2bot_parlai.errors import P2botError

MANIFEST = "p2bot_export.json"  # marks an export of ours and lists its files
FORMAT = "p2bot-export-1"


@contextmanager
def new_folder(out: str) -> Iterator[Path]:
    """
    A folder to write to, which becomes ``out`` when it is complete.

    An earlier export is replaced file by file; other files in its folder (a .git) stay.

    :raises P2botError: where ``out`` holds other files, or cannot be written.
    """
    final = Path(out).absolute()
    earlier = _earlier_files(final)
    work = final.with_name(f"{final.name}.{os.getpid()}.tmp")
    try:
        work.mkdir(parents=True)
        yield work
        files = sorted(str(path.relative_to(work)) for path in work.rglob("*") if path.is_file())
        manifest = {"format": FORMAT, "files": [*files, MANIFEST]}
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for name in files:  # safetensors creates files readable only by the owner
            (work / name).chmod((work / MANIFEST).stat().st_mode)
        if earlier is None:
            work.rename(final)  # also replaces an empty folder
            return
        for name in [*files, MANIFEST]:
            (final / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(work / name, final / name)
        for name in earlier - {*files, MANIFEST}:
            (final / name).unlink(missing_ok=True)
    except OSError as error:
        raise P2botError(f"--out {out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _earlier_files(folder: Path) -> set[str] | None:
    """The files of an earlier export; None if there is nothing yet."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise KeyError(manifest["format"])
        return set(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise P2botError(
            f"--out {folder} exists and is not an earlier export: name a new or empty folder"
        ) from error
