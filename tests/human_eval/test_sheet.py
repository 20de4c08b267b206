"""A sheet to fill in, and what is read back."""

import csv
from pathlib import Path

import pytest
import studies

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval.ratings import RatingLog
from p2bot_parlai.tools.human_eval.sheet import read_sheet, take_sheet, write_sheet


@pytest.fixture
def study():
    return studies.study(2, a=['fine ; "really" , yes', "=1+1"], b=["no", "yes"])[0]


@pytest.fixture
def path(study, tmp_path):
    path = str(tmp_path / "anna.csv")
    write_sheet(path, study, {"c2r1": 4})
    return path


def fill(path, *grades, delimiter=",", end="\n"):
    """Put grades into the last column, as a spreadsheet would save it."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    for row, grade in zip(rows[1:], grades, strict=False):
        row[-1] = grade
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator=end).writerows(rows)


def test_what_is_written(study, path):
    with open(path, "rb") as file:
        assert file.read(3) == b"\xef\xbb\xbf"
    with open(path, encoding="utf-8-sig", newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["response_id", "persona", "context", "response", "rating"]
    assert [row[0] for row in rows] == ["c1r1", "c1r2", "c2r1", "c2r2"]
    assert [row[4] for row in rows] == ["", "", "4", ""]
    assert rows[0][1] == "i eat soup. | i own a goat."
    assert rows[0][2].endswith("| speaker: hi , i like soup . | partner: do you own a pet ?")
    # a formula is shown, not computed
    assert {rows[2][3], rows[3][3]} == {"'=1+1", "yes"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_is_read(study, path, delimiter, end):
    fill(path, "1", " 3 ", "", "", delimiter=delimiter, end=end)
    assert read_sheet(path, study) == {"c1r1": 1, "c1r2": 3}


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: there is no column response_id"),
        ("response_id,rating\nc1r1,1\nc9r9,1\n", "line 3: the study has no response c9r9"),
        ("response_id,rating\nc1r1,1\nc1r2,5\n", "line 3: rating 5 is not 1, 2, 3 or 4"),
        ("response_id,rating\nc1r1,1\n\nc1r1,2\n", "line 4: response c1r1 is listed twice"),
    ],
)
def test_bad_sheets(study, path, text, message):
    Path(path).write_text(text)
    with pytest.raises(P2botError, match=message):
        read_sheet(path, study)
    Path(path).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(P2botError, match="cannot be read"):
        read_sheet(path, study)


def test_only_what_changed_is_added(study, path, tmp_path):
    with RatingLog(str(tmp_path / "r.jsonl"), study) as log:
        fill(path, "1", "2", "")
        assert take_sheet(path, "anna", log) == (2, 2)
        fill(path, "1", "3", "4")
        assert take_sheet(path, "anna", log) == (3, 2)
        assert log.of("anna") == {"c1r1": 1, "c1r2": 3, "c2r1": 4}
        fill(path, "1", "9")
        with pytest.raises(P2botError, match="line 3"):
            take_sheet(path, "anna", log)
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 4
