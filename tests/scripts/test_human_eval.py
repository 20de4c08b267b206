"""human_eval_prepare, human_eval_rate and human_eval_report, one after the other."""

import json
import sys
from pathlib import Path

import pytest
import tiny

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.scripts.human_eval_prepare import HumanEvalPrepare
from p2bot_parlai.scripts.human_eval_rate import HumanEvalRate
from p2bot_parlai.scripts.human_eval_report import HumanEvalReport
from p2bot_parlai.tools.human_eval.ratings import RatingLog
from p2bot_parlai.tools.human_eval.study import key_path, read_key, read_study

TASK = "convai2:self_original"


@pytest.fixture(scope="module")
def prepared(convai2, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    answers = folder / "others.jsonl"
    tiny.evaluate(convai2, tiny_model, world_logs=str(answers), skip_generation=False)
    path = str(folder / "study.json")
    arguments = ["-t", TASK, "-dp", convai2, "--number", "5", "--seed", "3", "--outfile", path]
    systems = ["--systems", f"P²Bot={tiny_model}", f"logged={answers}"]
    HumanEvalPrepare.main(*arguments, *systems, "--loglevel", "error")
    return path


@pytest.fixture
def ratings(prepared, tmp_path):
    """Ratings of two raters who agree, in a file of their own."""
    study, path = read_study(prepared), str(tmp_path / "ratings.jsonl")
    with RatingLog(path, study) as log:
        for place, (_, response) in enumerate(study.responses()):
            log.add("anna", response.id, place % 4 + 1)
            log.add("bob", response.id, place % 4 + 1)
    return path


def test_prepare(prepared):
    study = read_study(prepared)
    key = read_key(key_path(prepared), study)
    assert list(key.systems) == ["human", "P²Bot", "logged"]
    assert len(study.items) == 5
    for names in key.answered.values():  # the log is of the same model
        assert ("P²Bot" in names) == ("logged" in names)
    drawn = json.loads(Path(key_path(prepared)).read_text(encoding="utf-8"))
    assert (drawn["seed"], drawn["number"], drawn["task"]) == (3, 5, TASK)


def test_report(prepared, ratings, tmp_path, capsys):
    out, more = str(tmp_path / "table2"), str(tmp_path / "more.jsonl")
    study = read_study(prepared)
    with RatingLog(more, study) as log:
        log.add("carl", study.items[0].responses[0].id, 1)
    arguments = ["--study", prepared, "--ratings", ratings, more, "--outfile", out]
    found = HumanEvalReport.main(*arguments)
    printed = capsys.readouterr().out
    assert found.alpha == 1 and [r.name for r in found.raters] == ["anna", "bob", "carl"]
    for name in ("human", "P²Bot ", "P²Bot (paper)", "Krippendorff", "Wilcoxon"):
        assert name in printed
    content = json.loads((tmp_path / "table2.json").read_text(encoding="utf-8"))
    assert content["alpha"] == 1 and len(content["comparisons"]) == 3
    assert "| human " in (tmp_path / "table2.md").read_text(encoding="utf-8")
    with pytest.raises(P2botError, match="no ratings yet: run parlai human_eval_rate --study"):
        HumanEvalReport.main("--study", prepared)


def test_rate_by_sheet(prepared, tmp_path, capsys):
    sheet, ratings = tmp_path / "anna.csv", str(tmp_path / "r.jsonl")
    arguments = ["--study", prepared, "--ratings", ratings, "--csv", str(sheet), "--rater", "anna"]
    HumanEvalRate.main(*arguments)
    assert "4  Consistent: the response is consistent with the persona" in capsys.readouterr().out
    lines = sheet.read_text(encoding="utf-8").splitlines()
    sheet.write_text("\n".join([lines[0], lines[1] + "2", *lines[2:]]), encoding="utf-8")
    HumanEvalRate.main(*arguments)
    assert "rates 1 of" in capsys.readouterr().out
    with RatingLog(ratings, read_study(prepared)) as log:
        assert list(log.of("anna").values()) == [2]


@pytest.mark.browser
def test_rate_on_a_page(prepared, tmp_path, capsys, monkeypatch):
    """The page needs the extra; the address is printed before it serves."""
    serve = "p2bot_parlai.tools.web.server.serve"
    monkeypatch.setattr(serve, lambda app, listening: None)
    arguments = ["--study", prepared, "--ratings", str(tmp_path / "r.jsonl"), "--port", "0"]
    HumanEvalRate.main(*arguments)
    printed = capsys.readouterr().out
    assert "rate at http://127.0.0.1:" in printed and "anyone who reaches" not in printed
    assert "0 ratings in " in printed
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(P2botError, match=r"needs starlette: pip install .*\[web\]"):
        HumanEvalRate.main(*arguments)


@pytest.mark.parametrize(
    "script, arguments, message",
    [
        (HumanEvalPrepare, ["-t", TASK], "--outfile"),
        (HumanEvalRate, ["--study", "x", "--csv", "x"], "--csv and --rater go together"),
        (HumanEvalRate, ["--study", "x", "--ratings", "x", "y"], "--ratings takes one file"),
    ],
)
def test_wrong_calls(script, arguments, message):
    with pytest.raises(UsageError, match=message):
        script.main(*arguments)
