"""Writing files whole or not at all, with an error that says why one cannot be written.

A file is written under another name, flushed to the disk and renamed: a process that dies at
any moment leaves either the old file or the new one.

Also reading text and JSON, with an error that says what is wrong with them.
"""

import contextlib
import errno
import json
import os
from collections.abc import Iterator

from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError, UsageError

TEMPORARY = ".tmp"
# beside a model, and beside its checkpoint
PARTS = ("", ".dict", ".opt", ".trainstats")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_ROOM = FULL | {errno.EROFS}  # the disk's fault, whatever is written
# and the path's
CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
CLOSED |= {errno.EEXIST, errno.ENOENT, errno.EIO}


@contextlib.contextmanager
def whole(path: str, temporary: str | None = None) -> Iterator[str]:
    """
    The name to write ``path`` under; the file is renamed when the block ends.

    Where the block is left by an exception, what was at ``path`` is still there and the
    temporary file is not.

    :raises P2botError: where the disk is full, the folder read-only, and the like.
    """
    temporary = temporary or path + TEMPORARY
    try:
        with said(path, saved=True):
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
        with contextlib.suppress(OSError):  # not every disk knows how to flush a folder
            _flush(os.path.dirname(os.path.abspath(path)))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _flush(path: str) -> None:
    """To the disk itself: a rename may get there before what was written."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: str) -> None:
    """The folder of a file. :raises P2botError: where it cannot be made."""
    with said(path):
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        except FileExistsError as error:  # so Python calls a file in the place of a folder
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def append(path: str, text: str) -> None:
    """``text`` at the end of a file, all of it or nothing."""
    before = ""
    with said(path):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                before = file.read()
    with whole(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(before + text)


# ------------------------------------------------------------------- what cannot be written
@contextlib.contextmanager
def said(path: str, saved: bool = False) -> Iterator[None]:
    """
    :param saved: whether there may be something at ``path``, or beside it, to go on from.
    :raises P2botError: for what the disk does not take in this block.
    """
    try:
        yield
    except P2botError:  # said already
        raise
    except (OSError, RuntimeError) as error:  # torch makes RuntimeErrors of an OSError
        reason = disk_error(error)
        if reason is None:
            raise
        remedy = "make room there, or " if reason.errno in FULL else ""
        remedy += "choose another path"
        if saved:
            remedy += "; what was there before is untouched: repeat the command"
        raise P2botError(f"cannot write {path}: {reason.strerror}; {remedy}") from error


def disk_error(error: BaseException | None) -> OSError | None:
    """The error of the disk or the path that is behind this one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL | CLOSED:
            return error
        error = error.__cause__ or error.__context__
    return None


# ----------------------------------------------------------------- before a run begins
def check_place(path: str, flag: str = "--model-file") -> None:
    """
    Make the folder of a file and test that it is writable: a long run should not find out when
    it writes.

    :raises UsageError: for a folder in the place of a file.
    :raises P2botError: where nothing can be written.
    """
    if os.path.isdir(path):
        raise UsageError(f"{flag} {path} is a folder: name a file in it")
    probe = f"{path}.probe{TEMPORARY}"
    make_folder(path)
    with said(path):
        with open(probe, "wb") as file:
            file.write(b"\0")
        os.unlink(probe)


def remove_leftovers(model_file: str) -> None:
    """Delete what a killed run was writing: nothing reads it."""
    for model in (model_file, f"{model_file}.checkpoint"):
        names = [f"{model}{part}{TEMPORARY}" for part in PARTS]
        for name in (*names, f"{model}{TEMPORARY}.trainstats", f"{model}.probe{TEMPORARY}"):
            with contextlib.suppress(OSError):
                os.unlink(name)


def read_text(path: str, called: str | None = None) -> str:
    """
    The text of a file, without the mark (BOM) that some editors put before it.

    :param called: what an error calls it, as ``--dialogue FILE``; default: its path.
    :raises P2botError: where it cannot be read, or is no UTF-8, by its line.
    """
    called = called or path
    try:
        with PathManager.open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise P2botError(f"{called} cannot be read: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise P2botError(f"{called}, line {line}: not UTF-8; save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes):
    """
    ``json.loads``, which also takes a text with a byte order mark.

    :raises ValueError: for everything else, also where it is nested too deeply.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
