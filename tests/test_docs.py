"""docs/options.md is up to date and complete, and links lead somewhere."""

import re
import runpy
from pathlib import Path

import pytest
from parlai.core.params import ParlaiParser
from parlai.core.script import SCRIPT_REGISTRY
from parlai.scripts.eval_model import setup_args as eval_args

from p2bot_parlai import plugin, scripts

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
OPTIONS = (ROOT / "docs/options.md").read_text(encoding="utf-8")
plugin.register()
OURS = {
    name: found.klass
    for name, found in SCRIPT_REGISTRY.items()
    if found.klass.__module__.startswith(scripts.__name__)
}


def test_options_are_up_to_date():
    generate = runpy.run_path(str(ROOT / "docs/generate.py"))
    assert generate["options"]() == OPTIONS, "run: make docs"


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_option_of_a_command_is_in_its_section(name):
    stock = {a.dest for parser in (ParlaiParser(True, True), eval_args()) for a in parser._actions}
    section = OPTIONS.partition(f"\n## `parlai {name}`\n")[2].partition("\n## ")[0]
    for action in OURS[name].setup_args()._actions:
        if action.dest not in stock and action.option_strings:
            assert f"| `--{action.dest.replace('_', '-')}` |" in section


def test_every_option_has_a_text():
    for line in OPTIONS.splitlines():
        if line.startswith("| `--"):
            assert len(line.split(" | ")[-1].strip(" |")) > 10, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
