"""
Ratings are appended to a file, one JSON line each, and are on the disk before they are confirmed.

A correction is one more line; a rater's last rating of a response counts.
"""

import json
import os
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from reprlib import repr as short  # a malformed answer may be long, or nested
from typing import NamedTuple

from filelock import FileLock, Timeout

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import append, make_folder, parse_json
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
    A rater's name without surrounding spaces.

    :raises P2botError: if it is empty, too long or not printable.
    """
    if not isinstance(name, str) or not name.strip():
        raise P2botError("the rater's name is missing")
    name = name.strip()
    if len(name) > MAX_NAME or not name.isprintable():
        raise P2botError(f"a rater's name has 1 to {MAX_NAME} printable characters")
    return name


def _checked(rating: Rating, study: Study) -> Rating:
    """:raises P2botError: for an unknown response, another grade, or a bad name."""
    if not isinstance(rating.response, str) or rating.response not in study.ids:
        raise P2botError(f"the study has no response {short(rating.response)}")
    if type(rating.grade) is not int or rating.grade not in GRADES:
        raise P2botError(f"{short(rating.grade)} is not a grade from 1 to 4")
    return rating._replace(rater=check_rater(rating.rater))


def latest(ratings: Iterable[Rating]) -> dict[tuple[str, str], int]:
    """(rater, response) -> the grade that counts."""
    return {(rating.rater, rating.response): rating.grade for rating in ratings}


def read_ratings(path: str, study: Study) -> list[Rating]:
    """
    All ratings in a file, in the order in which they were given.

    :raises P2botError: for a line that is not a rating of this study; it names the line.
    """
    try:
        with open(path, "rb") as file:
            *lines, incomplete = file.read().split(b"\n")
    except OSError as error:
        raise P2botError(f"--ratings {path} cannot be read: {error.strerror}") from error
    if incomplete:
        raise P2botError(f"{path}, line {len(lines) + 1} is incomplete: delete it")
    found = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        try:
            given = parse_json(line)
            rating = Rating(given["rater"], given["response"], given["rating"])
            rated = given["study"]
        except (ValueError, KeyError, TypeError) as error:
            raise P2botError(f"{where} is not a rating of parlai human_eval_rate") from error
        if rated != study.id:
            raise P2botError(f"{where} rates another study: check --study and --ratings")
        try:
            found.append(_checked(rating, study))
        except P2botError as error:
            raise P2botError(f"{where}: {error}") from error
    return found


class RatingLog:
    """
    A file of ratings, open for more. One process at a time; its threads may share it.

    :raises P2botError: if another process has it open, or it belongs to another study.
    """

    def __init__(self, path: str, study: Study):
        self.path, self.study = path, study
        self._lock = threading.Lock()
        self._owner = FileLock(f"{path}.lock")
        make_folder(path)
        try:
            self._owner.acquire(timeout=0)
        except Timeout as error:
            raise P2botError(f"--ratings {path} is open in another process") from error
        try:
            self._grades = latest(read_ratings(path, study)) if os.path.exists(path) else {}
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
        Store a rating; it is on the disk when this returns.

        :raises P2botError: for an unknown response or grade, or a full disk.
        """
        rating = _checked(Rating(rater, response, grade), self.study)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"study": self.study.id, "rater": rating.rater, "response": response}
        entry |= {"rating": grade, "time": now}
        with self._lock:
            append(self.path, json.dumps(entry, ensure_ascii=False) + "\n")
            self._grades[rating.rater, response] = grade

    def close(self) -> None:
        self._owner.release()

    def __enter__(self) -> "RatingLog":
        return self

    def __exit__(self, *exception) -> None:
        self.close()
