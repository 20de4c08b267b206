"""parlai human_eval: its three actions one after the other, their help, and wrong calls."""

import json
from pathlib import Path

import pytest
import tiny
from parlai.core.script import superscript_main

from p2bot_parlai.errors import P2botError
from p2bot_parlai.scripts import human_eval
from p2bot_parlai.scripts.human_eval import HumanEval
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
    systems = ["--systems", f"P²Bot={tiny_model}", "--systems", f"logged={answers}"]
    HumanEval.main("prepare", *arguments, *systems, "--loglevel", "error")
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
    out = str(tmp_path / "table2")
    found = HumanEval.main("report", "--study", prepared, "--ratings", ratings, "--outfile", out)
    printed = capsys.readouterr().out
    assert found.alpha == 1 and [r.name for r in found.raters] == ["anna", "bob"]
    for name in ("human", "P²Bot ", "P²Bot (paper)", "Krippendorff", "Wilcoxon"):
        assert name in printed
    content = json.loads((tmp_path / "table2.json").read_text(encoding="utf-8"))
    assert content["alpha"] == 1 and len(content["comparisons"]) == 3
    assert "| human |" in (tmp_path / "table2.md").read_text(encoding="utf-8")


def test_report_reads_several_files(prepared, ratings, tmp_path):
    more = str(tmp_path / "more.jsonl")
    study = read_study(prepared)
    with RatingLog(more, study) as log:
        log.add("carl", study.items[0].responses[0].id, 4)
    found = HumanEval.main("report", "--study", prepared, "--ratings", ratings, more)
    assert [rater.name for rater in found.raters] == ["anna", "bob", "carl"]


def test_report_without_ratings(prepared):
    with pytest.raises(P2botError, match="no ratings yet: parlai human_eval rate --study"):
        HumanEval.main("report", "--study", prepared)


def test_rate_by_sheet(prepared, tmp_path, capsys):
    sheet, ratings = tmp_path / "anna.csv", str(tmp_path / "r.jsonl")
    arguments = ["rate", "--study", prepared, "--ratings", ratings]
    arguments += ["--csv", str(sheet), "--rater", "anna"]
    HumanEval.main(*arguments)
    assert "4  Consistent: the response is consistent with the persona" in capsys.readouterr().out
    lines = sheet.read_text(encoding="utf-8").splitlines()
    sheet.write_text("\n".join([lines[0], lines[1] + "2", *lines[2:]]), encoding="utf-8")
    HumanEval.main(*arguments)
    assert "rates 1 of" in capsys.readouterr().out
    with RatingLog(ratings, read_study(prepared)) as log:
        assert list(log.of("anna").values()) == [2]


def test_rate_serves_until_ctrl_c(prepared, tmp_path, capsys, monkeypatch):
    def interrupted(server):
        server.log.add("anna", server.study.items[0].responses[0].id, 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(human_eval.RatingServer, "serve_forever", interrupted)
    ratings = str(tmp_path / "r.jsonl")
    HumanEval.main("rate", "--study", prepared, "--ratings", ratings, "--port", "0")
    printed = capsys.readouterr().out
    assert "rate at http://127.0.0.1:" in printed and "whoever reaches" not in printed
    assert f"1 ratings in {ratings}" in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "say what to do: prepare, rate, report"),
        (["prpare"], "there is no action prpare; did you mean prepare?"),
        (["x"], "there are prepare, rate, report"),
        (["prepare", "-t", TASK], "--outfile is missing; see parlai human_eval prepare --help"),
        (["rate"], "--study is missing"),
        (["rate", "--number", "3"], "--number is an option of prepare, not of rate"),
        (["prepare", "--study", "x"], "--study is an option of rate and report, not of prepare"),
        (["rate", "--study", "STUDY", "--csv", "x"], "--csv needs --rater"),
        (["rate", "--study", "STUDY", "--rater", "x"], "--rater goes with --csv"),
        (["rate", "--study", "STUDY", "--ratings", "x", "y"], "give --ratings one name"),
    ],
)
def test_wrong_calls_end_with_2(prepared, arguments, message, capsys):
    arguments = [prepared if argument == "STUDY" else argument for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        superscript_main(["human_eval", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "action, there, not_there",
    [
        ("prepare", ["--systems", "--number", "--task", "--datapath"], ["--study", "--port"]),
        ("rate", ["--study", "--port", "--csv"], ["--systems", "--task", "--key"]),
        ("report", ["--study", "--key", "--outfile"], ["--systems", "--task", "--port"]),
        ("", ["prepare", "rate", "report"], ["--systems"]),
    ],
)
def test_help(action, there, not_there, capsys):
    with pytest.raises(SystemExit) as ended:
        superscript_main(["human_eval", *([action] if action else []), "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for option in there:
        assert printed.count(f"  {option}") == 1, option
    for option in not_there:
        assert f"  {option}" not in printed
