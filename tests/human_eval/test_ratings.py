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


def test_the_last_rating_counts_and_the_first_stays(study, path):
    with RatingLog(path, study) as log:
        log.add("anna", "c1r1", 3)
        log.add("Łukasz ", "c1r2", 1)
        log.add("anna", "c1r1", 4)
        assert log.of("anna") == {"c1r1": 4} and len(log) == 2
    with RatingLog(path, study) as log:
        assert log.of("anna") == {"c1r1": 4} and log.of("Łukasz") == {"c1r2": 1}
    kept = read_ratings(path, study)
    assert kept[::2] == [Rating("anna", "c1r1", 3), Rating("anna", "c1r1", 4)]
    assert latest(kept) == {("anna", "c1r1"): 4, ("Łukasz", "c1r2"): 1}


def test_it_is_synced_before_it_is_confirmed(study, path, monkeypatch):
    with RatingLog(path, study) as log:
        synced = []
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(path).read_text()))
        log.add("anna", "c1r1", 3)
        assert len(synced) == 1 and '"rating": 3' in synced[0]


def test_a_torn_last_line_is_cut_off(study, path):
    with RatingLog(path, study) as log:
        log.add("anna", "c1r1", 2)
    with open(path, "a") as file:
        file.write('{"study": "')
    assert len(read_ratings(path, study)) == 1
    with RatingLog(path, study) as log:
        log.add("anna", "c1r2", 4)
        assert log.of("anna") == {"c1r1": 2, "c1r2": 4}
    assert len(read_ratings(path, study)) == 2


def test_a_full_disk_leaves_no_half_line(study, path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with RatingLog(path, study) as log:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(P2botError, match="not saved: No space left"):
            log.add("anna", "c1r1", 2)
        monkeypatch.undo()
        assert log.of("anna") == {} and Path(path).read_text() == ""
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
        (("anna", "c9r1", 1), "no response 'c9r1'"),
        (("anna", "c1r1", 5), "5 is not a grade"),
    ],
)
def test_what_is_refused(study, path, rating, message):
    with RatingLog(path, study) as log, pytest.raises(P2botError, match=message):
        log.add(*rating)
    assert Path(path).read_text() == ""


@pytest.mark.parametrize(
    "change, message",
    [
        ("nonsense", "line 2 is not a rating"),
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
        file.write((json.dumps(good | change) if isinstance(change, dict) else change) + "\n")
    with pytest.raises(P2botError, match=message):
        read_ratings(path, study)
    with pytest.raises(P2botError, match=message):
        RatingLog(path, study)
    Path(path).write_text("")
    RatingLog(path, study).close()  # the refusal left no lock
