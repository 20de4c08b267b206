"""docs/options.md is up to date and complete, and links lead somewhere."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
OPTIONS = (ROOT / "docs/options.md").read_text(encoding="utf-8")


def test_options_are_up_to_date():
    generate = runpy.run_path(str(ROOT / "docs/generate.py"))
    assert generate["options"]() == OPTIONS, "run: make docs"


def test_every_option_has_a_text():
    for line in OPTIONS.splitlines():
        if line.startswith("| `--"):
            assert len(line.split(" | ")[-1].strip(" |")) > 10, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
