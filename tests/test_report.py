"""The report: one page, nothing from outside, nothing unescaped, every value in it."""

import json
import re

import pytest

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.report import Report, curves, train_reports

REPORTS = [{"train_steps": 10 * i, "loss": 5.0 - i, "reward": -i} for i in range(4)]


@pytest.fixture
def page(tmp_path):
    report = Report("A <b>title</b>")
    report.section("Numbers", "over 5 & more")
    report.table(["", "hits@1"], [["P²Bot <s> | x", "81.9"]])
    report.drawing(curves({"ours": REPORTS, "theirs": REPORTS[:2]}, ["loss", "reward"]), "learning")
    report.chat(
        "persona: i like <script>", [("user", "hi <script>alert(1)</script>"), ("bot", "✓")]
    )
    report.code("parlai train_model < file")
    report.text("done")
    report.write(tmp_path / "report.html")
    report.write(tmp_path / "report.md")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_everything_is_in_it_as_text_and_nothing_from_outside(page):
    for text in ("81.9", "over 5 &amp; more", "learning", "✓", "parlai train_model &lt; file"):
        assert text in page
    assert page.count("<svg") == 1 and "ours" in page and "reward" in page
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert "A &lt;b&gt;title" in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(link.startswith("#") for link in links)
    assert "@import" not in page and "url(http" not in page


def test_markdown_has_all_but_the_drawings(page, tmp_path):
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# A <b>title</b>\n\n## Numbers\n\nover 5 & more\n\n|")
    assert "| P²Bot \\<s\\> \\| x |" in text
    assert "bot: ✓" in text and "```\nparlai train_model < file\n```" in text
    assert "svg" not in text


def test_reports_of_a_run(tmp_path):
    (tmp_path / "model.trainstats").write_text(json.dumps({"train_reports": REPORTS}))
    assert train_reports(tmp_path / "model") == REPORTS
    with pytest.raises(P2botError, match="holds no training reports"):
        train_reports(tmp_path / "other")
