"""The pages that are made from the code are up to date, and links lead somewhere."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def generate():
    return runpy.run_path(str(ROOT / "docs/generate.py"))


@pytest.mark.parametrize("page, maker", [("options", "options"), ("troubleshooting", "errors")])
def test_made_pages_are_up_to_date(generate, page, maker):
    made = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    assert made == generate[maker](), "run: make docs"


def test_every_option_has_a_text(generate):
    for line in generate["options"]().splitlines():
        if line.startswith("| `--"):
            assert len(line.split(" | ")[-1].strip(" |")) > 10, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
