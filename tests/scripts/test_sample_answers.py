"""parlai sample_answers: the same contexts, everybody's answers, three files."""

import json

import pytest
import tiny

from p2bot_parlai.errors import P2botError
from p2bot_parlai.scripts.sample_answers import SampleAnswers
from p2bot_parlai.tools.human_eval import side_by_side

RECORD = {
    "task": "a_task",
    "persona": ["i eat soup.", "i own <b>one</b> goat."],
    "context": [("partner", "hi | there")],
    "responses": {"human": "hello", "P²Bot": "i *do*"},
}


def sample(convai2, out, **changes):
    given = {"task": "convai2:self_original", "datapath": convai2, "outfile": str(out)}
    return SampleAnswers.main(**{**given, "number": 3, "seed": 2, **tiny.QUIET, **changes})


def test_three_files_of_the_same(convai2, tiny_model, tmp_path):
    found = sample(convai2, tmp_path / "new" / "t4", systems=[f"P²Bot={tiny_model}"])
    assert len(found) == 3
    assert all(list(record["responses"]) == ["human", "P²Bot"] for record in found)
    lines = (tmp_path / "new" / "t4.jsonl").read_text(encoding="utf-8").splitlines()
    again = [json.loads(line) for line in lines]
    assert [r["responses"] for r in again] == [r["responses"] for r in found]
    for ending in ("md", "html"):
        text = (tmp_path / "new" / f"t4.{ending}").read_text(encoding="utf-8")
        assert "--number 3 --seed 2" in text
        for record in found:
            assert record["responses"]["human"] in text.replace("\\", "")
    with pytest.raises(P2botError, match="cannot be written"):
        sample(convai2, tmp_path / "new" / "t4.md" / "t4")


def test_markdown_is_the_papers_table():
    lines = side_by_side.as_markdown([RECORD], "parlai x").splitlines()
    rows = [line.split(" | ") for line in lines[4:] if not line.startswith("|--")]
    assert [f"{title.strip('| ')}: {text.strip('| ')}" for title, text in rows] == [
        "1: a\\_task",
        "PERSONA: 1. i eat soup. 2. i own \\<b\\>one\\</b\\> goat.",
        "CONTEXT, partner: hi \\| there",
        "\\* Human: hello",
        "\\* P²Bot: i \\*do\\*",
    ]


def test_html_is_escaped(tmp_path):
    side_by_side.write_html([RECORD], "parlai x", str(tmp_path / "t4.html"))
    page = (tmp_path / "t4.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;one&lt;/b&gt;" in page and "<b>one" not in page
