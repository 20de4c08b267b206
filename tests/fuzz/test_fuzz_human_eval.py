"""Studies, keys, ratings, sheets, answers as files; what a browser sends to the raters' page."""

import json

import fuzzing
import pytest
import studies
from fuzzing import cases, outcome, texts
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from p2bot_parlai.tools.human_eval import results
from p2bot_parlai.tools.human_eval import study as study_files
from p2bot_parlai.tools.human_eval.answers import from_file
from p2bot_parlai.tools.human_eval.ratings import RatingLog, check_rater, latest, read_ratings
from p2bot_parlai.tools.human_eval.server import rating_app
from p2bot_parlai.tools.human_eval.sheet import read_sheet, write_sheet
from p2bot_parlai.tools.human_eval.statistics import evaluate

STUDY, KEY = studies.study(3)
IDS = [response.id for _, response in STUDY.responses()]


def rating(number: int, grade: int, rater: str = "anna") -> dict:
    return {"study": STUDY.id, "rater": rater, "response": IDS[number], "rating": grade}


RATINGS = [rating(0, 1), rating(1, 2), rating(2, 4), rating(0, 3, "bert"), rating(1, 2, "bert")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("study")
    study_files.write_study(str(path / "study.json"), STUDY, KEY, {"seed": 1})
    return path


# ------------------------------------------------------------------------ study and key
@cases(80)
@given(st.data())
def test_a_study_and_its_key_are_read_or_refused(folder, data):
    sound = {name: json.loads((folder / f"{name}.json").read_text()) for name in
             ("study", "study.key")}  # fmt: skip
    (folder / "a.json").write_bytes(data.draw(fuzzing.json_files(sound["study"])))
    found, refused = outcome(study_files.read_study, str(folder / "a.json"))
    assert refused or study_files.fingerprint(found.items) == found.id
    (folder / "a.key.json").write_bytes(data.draw(fuzzing.json_files(sound["study.key"])))
    key, refused = outcome(study_files.read_key, str(folder / "a.key.json"), STUDY)
    if not refused:
        grades = {(r["rater"], r["response"]): r["rating"] for r in RATINGS}
        check_report(evaluate(STUDY, key, grades))


def check_report(found):
    for markdown in (False, True):
        results.as_text(found, markdown).encode("utf-8")
    json.dumps(results.as_json(found))


# ------------------------------------------------------------------------------- ratings
@cases(80)
@given(fuzzing.json_lines(RATINGS))
def test_ratings_are_read_or_refused_by_line(folder, content):
    path = folder / "b.ratings.jsonl"
    path.write_bytes(content)
    found, refused = outcome(read_ratings, str(path), STUDY)
    if refused:
        assert "b.ratings.jsonl, line" in refused
        return
    for one in found:
        assert check_rater(one.rater) == one.rater and one.response in IDS
    if found:
        check_report(evaluate(STUDY, KEY, latest(found)))


# -------------------------------------------------------------------------------- sheets
CELLS = st.one_of(st.sampled_from(IDS), st.sampled_from(("1", "2", "4", "5", "", " 3 ")), texts())
HEADERS = st.sampled_from(("response_id,rating", "rating;response_id", "response_id\ttext\trating"))


@st.composite
def sheets(draw) -> str:
    header = draw(st.one_of(HEADERS, HEADERS, texts()))
    delimiter = max(",;\t", key=header.count)
    quote = draw(st.sampled_from(("", "", '"')))
    rows = draw(st.lists(st.lists(CELLS, max_size=3), max_size=4))
    lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in rows]
    return draw(st.sampled_from(("\n", "\r\n", "\r"))).join([header, *lines])


@cases(80)
@given(st.data())
@example(None)
def test_a_sheet_is_read_or_refused_by_line(folder, data):
    path = folder / "sheet.csv"
    write_sheet(str(path), STUDY, {IDS[0]: 2})
    if data is None:  # a cell that is longer than the csv module reads
        path.write_text("x" * 200_000)
    else:
        path.write_bytes(data.draw(fuzzing.files(sheets(), path.read_bytes())))
    found, refused = outcome(read_sheet, str(path), STUDY)
    assert refused or set(found) <= set(IDS) and set(found.values()) <= {1, 2, 3, 4}


# ------------------------------------------------------------------------------- answers
SAMPLES = [studies.sample(number) for number in range(2)]
ANSWERS = [
    {
        "persona": ["i eat soup.", "i own a goat."],
        "context": [["partner", f"hello , i am number {n} ."], ["speaker", "hi , i like soup ."],
                    ["partner", "do you own a pet ?"]],
        "response": f"a goat {n} .",
    }
    for n in range(2)
]  # fmt: skip
LOGGED = [
    {"dialog": [[{"text": m["text"]}, {"text": f"reply {n}"}] for m in SAMPLES[n].messages]}
    for n in range(2)
]


@cases(80)
@given(st.one_of(fuzzing.json_lines([*ANSWERS, *LOGGED]), fuzzing.json_lines(ANSWERS)))
def test_answers_are_read_or_refused(folder, content):
    path = folder / "answers.jsonl"
    path.write_bytes(content)
    found, refused = outcome(from_file, str(path), SAMPLES)
    if refused:
        assert "answers.jsonl" in refused
        return
    assert len(found) == len(SAMPLES)
    study, key = study_files.make_study(SAMPLES, {"A": found}, {"A": str(path)}, 1)
    study_files.write_study(str(folder / "made.json"), study, key, {})
    assert study_files.read_study(str(folder / "made.json")) == study


# -------------------------------------------------------------------- the raters' browser
@pytest.fixture(scope="module")
def client(folder):
    with RatingLog(str(folder / "page.ratings.jsonl"), STUDY) as log:
        app = rating_app(STUDY, log, "127.0.0.1")
        yield TestClient(app, "http://127.0.0.1")


@cases(80)
@given(st.one_of(fuzzing.json_files(RATINGS[0]), st.binary(max_size=30)), texts(breaks=False))
def test_whatever_a_browser_sends_is_answered(client, body, rater):
    posted = client.post("/rate", content=body)
    assert posted.status_code in (200, 400, 409, 413)
    if posted.status_code != 413:
        assert posted.json().keys() <= {"saved", "error"}
    rater = rater.encode("utf-8", "replace").decode()
    shown = client.get("/study", params={"rater": rater})
    assert shown.status_code == 400 or shown.json()["rater"] == rater.strip()
