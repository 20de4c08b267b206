"""
Ratings, kept as they are given: one JSON line each, on the disk before it is confirmed.

A correction is one more line; the last one of a rater for a response counts.
"""

import json
import os
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from reprlib import repr as short  # what is no answer may be long, or nested
from typing import NamedTuple

from filelock import FileLock, Timeout

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import parse_json
from p2bot_parlai.tools.human_eval.scale import GRADES
from p2bot_parlai.tools.human_eval.study import Study

MAX_NAME = 40


class Rating(NamedTuple):
    """:param response: its id. :param grade: 1 to 4."""

    rater: str
    response: str
    grade: int


def check_rater(name: object) -> str:
    """
    The name of a rater, without spaces around it.

    :raises P2botError: where it is empty, too long or not printable.
    """
    if not isinstance(name, str) or not name.strip():
        raise P2botError("who rates? A name is missing")
    name = name.strip()
    if len(name) > MAX_NAME or not name.isprintable():
        raise P2botError(f"the name of a rater has 1 to {MAX_NAME} printable characters")
    return name


def latest(ratings: Iterable[Rating]) -> dict[tuple[str, str], int]:
    """(rater, response) -> the grade that counts."""
    return {(rating.rater, rating.response): rating.grade for rating in ratings}


def read_ratings(path: str, study: Study) -> list[Rating]:
    """
    All ratings of a file, in the order in which they were given.

    What a kill left of a last line was never confirmed and does not count.

    :raises P2botError: for a line that is none, naming it, or ratings of another study.
    """
    try:
        with open(path, "rb") as file:
            *lines, _ = file.read().split(b"\n")
    except OSError as error:
        raise P2botError(f"--ratings {path} cannot be read: {error.strerror}") from error
    known = {response.id for _, response in study.responses()}
    return [_parse(line, f"{path}, line {n}", study, known) for n, line in enumerate(lines, 1)]


def _parse(line: bytes, where: str, study: Study, known: set[str]) -> Rating:
    try:
        given = parse_json(line)
        rating = Rating(given["rater"], given["response"], given["rating"])
        of = given["study"]
    except (ValueError, KeyError, TypeError) as error:
        raise P2botError(f"{where} is no rating of parlai human_eval rate") from error
    if of != study.id:
        raise P2botError(f"{where} rates another study: name its study, or other ratings")
    if not isinstance(rating.response, str):
        raise P2botError(f"{where} is no rating of parlai human_eval rate")
    if rating.response not in known:
        raise P2botError(f"{where}: the study has no response {rating.response}")
    if type(rating.grade) is not int or rating.grade not in GRADES:
        raise P2botError(f"{where}: {short(rating.grade)} is not a grade from 1 to 4")
    try:
        return rating._replace(rater=check_rater(rating.rater))
    except P2botError as error:
        raise P2botError(f"{where}: {error}") from error


class RatingLog:
    """
    The file of ratings, open for more. One process at a time; threads may share it.

    :raises P2botError: where another process has it, or it is not one of this study.
    """

    def __init__(self, path: str, study: Study):
        self.path, self.study = path, study
        self._known = {response.id for _, response in study.responses()}
        self._lock = threading.Lock()
        self._owner = FileLock(f"{path}.lock")
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            self._owner.acquire(timeout=0)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            _drop_torn_line(self._file)
            _sync_folder(path)
        except Timeout as error:
            raise P2botError(f"--ratings {path}: another process takes ratings into it") from error
        except OSError as error:
            self._owner.release()
            raise P2botError(f"--ratings {path} cannot be written: {error.strerror}") from error
        try:
            self._grades = latest(read_ratings(path, study))
        except P2botError:
            self.close()
            raise

    def of(self, rater: str) -> dict[str, int]:
        """Response -> grade, of one rater."""
        with self._lock:
            return {name: grade for (who, name), grade in self._grades.items() if who == rater}

    def __len__(self) -> int:
        return len(self._grades)

    def add(self, rater: str, response: str, grade: int) -> None:
        """
        Keep a rating; it is on the disk when this returns.

        :raises P2botError: for an unknown response or grade, or a full disk.
        """
        if not isinstance(response, str) or response not in self._known:
            raise P2botError(f"the study has no response {short(response)}")
        if type(grade) is not int or grade not in GRADES:
            raise P2botError(f"{short(grade)} is not a grade from 1 to 4")
        rater = check_rater(rater)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        said = {"study": self.study.id, "rater": rater, "response": response, "rating": grade}
        line = (json.dumps({**said, "time": now}, ensure_ascii=False) + "\n").encode()
        with self._lock:
            try:
                if os.write(self._file, line) != len(line):
                    raise OSError(None, "the disk took only a part")
                os.fsync(self._file)
            except OSError as error:
                _drop_torn_line(self._file)
                raise P2botError(f"{self.path}: not saved: {error.strerror}") from error
            self._grades[rater, response] = grade

    def close(self) -> None:
        os.close(self._file)
        self._owner.release()

    def __enter__(self) -> "RatingLog":
        return self

    def __exit__(self, *exception) -> None:
        self.close()


def _drop_torn_line(file: int) -> None:
    """Cut off what stands behind the last line end."""
    size = os.fstat(file).st_size
    with open(os.dup(file), "rb") as whole:
        whole.seek(0)
        kept = whole.read().rfind(b"\n") + 1
    if kept < size:
        os.ftruncate(file, kept)


def _sync_folder(path: str) -> None:
    """A new file is there after a power cut only if its folder was written, too."""
    if os.name == "posix":
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
