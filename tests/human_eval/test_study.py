"""The study hides who answered what; the key tells."""

import json
from pathlib import Path

import pytest
import studies

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval import study as files

DRAWN = {"task": "t", "seed": 3}


@pytest.fixture
def written(tmp_path):
    study, key = studies.study()
    path = str(tmp_path / "new" / "study.json")
    files.write_study(path, study, key, DRAWN)
    return path, study, key


def test_what_is_shown_is_what_was_said():
    study, key = studies.study()
    item = study.items[1]
    assert item.persona == ("i eat soup.", "i own a goat.")
    assert item.context[1:] == (
        ("speaker", "hi , i like soup ."),
        ("partner", "do you own a pet ?"),
    )
    texts = {key.answered[r.id][0]: r.text for r in item.responses}
    assert texts["human"] == "a goat , 1 ."
    # equal answers are rated once
    assert [len(item.responses) for item in study.items] == [2, 2, 2]
    assert sorted(map(len, key.answered.values())) == [1, 1, 1, 2, 2, 2]


def test_the_order_is_drawn_for_each_item():
    answers = {name: [f"{name} {n}" for n in range(40)] for name in "abc"}
    study, key = studies.study(40, **answers)
    firsts = [key.answered[item.responses[0].id][0] for item in study.items]
    assert all(5 < firsts.count(name) < 25 for name in "abc")
    assert studies.study(40, **answers) == (study, key)
    assert studies.study(40, seed=1, **answers)[1].answered != key.answered


def test_the_study_does_not_tell_what_the_key_does(written):
    path, study, key = written
    text = Path(path).read_text(encoding="utf-8")
    for secret in ("human", "good", "copy", "model", "seed"):
        assert f'"{secret}' not in text
    assert json.loads(Path(files.key_path(path)).read_text())["seed"] == 3
    assert files.read_study(path) == study
    assert files.read_key(files.key_path(path), study) == key


def change(path, **changes):
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    content.update(changes)
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def test_an_edited_study_is_refused(written):
    path, _, _ = written
    items = json.loads(Path(path).read_text(encoding="utf-8"))["items"]
    items[0]["responses"][0]["text"] = "something else"
    change(path, items=items)
    with pytest.raises(P2botError, match="edited after it was prepared"):
        files.read_study(path)


def test_other_files_are_refused(written, tmp_path):
    path, study, _ = written
    with pytest.raises(P2botError, match="no such study; create it with parlai human_eval_prepare"):
        files.read_study(str(tmp_path / "none.json"))
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(P2botError, match="is not a study"):
        files.read_study(str(tmp_path / "other.json"))
    (tmp_path / "torn.json").write_text('{"form')
    with pytest.raises(P2botError, match="cannot be read"):
        files.read_study(str(tmp_path / "torn.json"))
    with pytest.raises(P2botError, match="key of another study"):
        files.read_key(files.key_path(path), studies.study(2)[0])


def test_a_study_with_ratings_is_not_replaced(written):
    path, study, key = written
    ratings = files.ratings_path(path)
    assert ratings.endswith("new/study.ratings.jsonl")
    Path(ratings).write_text("x\n")
    files.write_study(path, study, key, DRAWN)  # the same again harms nobody
    with pytest.raises(P2botError, match="holds ratings of another study"):
        files.write_study(path, *studies.study(2), DRAWN)
    assert files.read_study(path) == study
