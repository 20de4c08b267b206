"""docs/options.md is up to date and complete, links lead somewhere, and the site has all pages."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
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


def test_the_navigation_names_every_page_once():
    def pages(entries) -> list[str]:
        found = [value for entry in entries for value in entry.values()]
        return sum(([one] if isinstance(one, str) else pages(one) for one in found), [])

    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    named = pages(site["nav"])
    generated = {"docs/python.md"}
    assert len(named) == len(set(named))
    assert {str(page.relative_to(ROOT)) for page in PAGES} | generated <= set(named)
    assert all((ROOT / page).exists() for page in set(named) - generated)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning():
    """Links to anchors, too; needs the extra `docs`."""
    site = runpy.run_path(str(ROOT / "docs/site.py"))
    assert site["main"]() == 0
    built = (ROOT / "site/docs/python.html").read_text(encoding="utf-8")
    assert 'id="p2bot_parlai.P2Bot.reply"' in built and ":param" not in built


@pytest.mark.parametrize("page", ["docs/method", "docs/layout", "CONTRIBUTING"])
def test_code_that_a_page_names_is_there(page):
    text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+\w+\.py)(?::([\w.]+))?`", text)
    assert named
    for path, name in named:
        if "/x" in path:  # "write agents/x.py"
            continue
        found = next((p for p in (ROOT / path, ROOT / "p2bot_parlai" / path) if p.exists()), None)
        assert found, path
        for part in filter(None, name.split(".")):
            assert re.search(rf"(def|class) {part}\b", found.read_text(encoding="utf-8")), name


def test_tests_of_equations_are_there():
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/method.md").read_text(encoding="utf-8"))
    files = (ROOT / "tests/method").glob("test_*.py")
    tests = "".join(file.read_text(encoding="utf-8") for file in files)
    assert len(named) > 15
    assert not [name for name in named if f"def {name}(" not in tests]


REPRESENTATIVE = {
    "AutoModelForCausalLM": "gpt2 llama qwen3 mistral gemma bloom bart lfm3",
    "AutoModel": "t5 bert mpnet deberta-v2",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "auto_class, family",
    [(kind, family) for kind, families in REPRESENTATIVE.items() for family in families.split()],
)
def test_the_table_of_families_says_what_is_measured(auto_class, family):
    families = runpy.run_path(str(ROOT / "docs/families.py"))
    outcome, _ = families["verdict"](family, auto_class)
    page = (ROOT / "docs/backbones.md").read_text(encoding="utf-8")
    title = {"AutoModelForCausalLM": "| `--backbone` |", "AutoModel": "| `--encoder` |"}[auto_class]
    rows = page.split(title)[1].split("\n\n")[0].splitlines()
    (row,) = [row for row in rows if re.search(rf"[ |]{family}[,( ]", row)]
    assert row.startswith(f"| {outcome} |")


def test_the_table_of_memory_says_what_is_computed():
    table = runpy.run_path(str(ROOT / "docs/memory_table.py"))
    page = (ROOT / "docs/backbones.md").read_text(encoding="utf-8")
    assert table["row"]("SmolLM2-135M", ("adapters", "bf16", "int4")) in page
