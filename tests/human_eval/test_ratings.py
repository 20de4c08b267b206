"""Ratings are on the disk when they are confirmed, and only those of this study count."""

import errno
import json
import os
from pathlib import Path

import pytest
import studies

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval.ratings import Rating, RatingLog, latest, read_ratings


@pytest.fixture
def study():
    return studies.study()[0]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "new" / "ratings.jsonl")


def test_ratings_come_back(study, path):
    with RatingLog(path, study) as log:
        log.add("anna", "c1r1", 3)
        log.add("Łukasz ", "c1r2", 1)
    with RatingLog(path, study) as log:
        assert log.of("anna") == {"c1r1": 3} and log.of("Łukasz") == {"c1r2": 1}
        assert log.of("nobody") == {} and len(log) == 2


def test_the_last_rating_counts_and_the_first_stays(study, path):
    with RatingLog(path, study) as log:
        log.add("anna", "c1r1", 3)
        log.add("anna", "c1r1", 4)
        assert log.of("anna") == {"c1r1": 4} and len(log) == 1
    kept = read_ratings(path, study)
    assert kept == [Rating("anna", "c1r1", 3), Rating("anna", "c1r1", 4)]
    assert latest(kept) == {("anna", "c1r1"): 4}


def test_a_full_disk_leaves_no_half_line(study, path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with RatingLog(path, study) as log:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(P2botError, match="No space left"):
            log.add("anna", "c1r1", 2)
        monkeypatch.undo()
        assert log.of("anna") == {} and not Path(path).exists()
        log.add("anna", "c1r1", 2)
    assert len(read_ratings(path, study)) == 1


def test_one_process_at_a_time(study, path):
    with RatingLog(path, study), pytest.raises(P2botError, match="open in another process"):
        RatingLog(path, study)
    RatingLog(path, study).close()


@pytest.mark.parametrize(
    "rating, message",
    [
        ((None, "c1r1", 1), "name is missing"),
        (("a\nb", "c1r1", 1), "printable"),
        (("x" * 41, "c1r1", 1), "1 to 40"),
        (("anna", "c9r1", 1), "no response 'c9r1'"),
        (("anna", ["c1r1"], 1), "no response"),
        (("anna", "c1r1", 5), "5 is not a grade"),
        (("anna", "c1r1", True), "True is not a grade"),
    ],
)
def test_what_is_refused(study, path, rating, message):
    with RatingLog(path, study) as log, pytest.raises(P2botError, match=message):
        log.add(*rating)
    assert not Path(path).exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ("nonsense", "line 2 is not a rating"),
        ("nonsense\nnew", "line 3 is incomplete"),
        ({"rating": None}, "line 2: None is not a grade"),
        ({"study": "x"}, "line 2 rates another study"),
        ({"response": "c9r9"}, "line 2: the study has no response 'c9r9'"),
    ],
)
def test_bad_lines_are_named(study, path, change, message):
    with RatingLog(path, study) as log:
        log.add("anna", "c1r1", 2)
    good = json.loads(Path(path).read_text())
    with open(path, "a") as file:
        change = json.dumps(good | change) if isinstance(change, dict) else change
        file.write(change if change.endswith("new") else f"{change}\n")
    with pytest.raises(P2botError, match=message):
        read_ratings(path, study)
    with pytest.raises(P2botError, match=message):
        RatingLog(path, study)
    Path(path).write_text("")
    RatingLog(path, study).close()  # the refusal left no lock


def test_paths_that_cannot_be(study, tmp_path):
    with pytest.raises(P2botError, match="cannot be read"):
        read_ratings(str(tmp_path / "none"), study)
    (tmp_path / "file").write_text("")
    with pytest.raises(P2botError, match="cannot write"):
        RatingLog(str(tmp_path / "file" / "ratings"), study)
