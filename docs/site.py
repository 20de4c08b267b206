"""
Build the site in site/ from README.md, docs/ and the files that they link to: `make docs`.

The pages stand as in the repository, so that every link leads to the same file in both.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build/pages"
ENTRANCES = ["README.md", "CONTRIBUTING.md", "docs/site.css"]
# what the page of the Python API shows, from the docstrings
API = [
    "P2Bot",
    *("method.transmitter", "method.receiver", "method.rewards", "method.reward_models"),
    *("method.selfplay", "method.rollouts", "metrics.persona_metrics"),
]


def main() -> int:
    """:returns: the exit status of the site's builder, not 0 where a link leads nowhere."""
    gather()
    command = [Path(sys.executable).parent / "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=ROOT).returncode


def gather() -> None:
    """Copy the pages, and whatever they link to, into build/pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    waiting = [ROOT / name for name in ENTRANCES] + sorted((ROOT / "docs").glob("*.md"))
    done: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file in done or not file.is_file():
            continue
        done.add(file)
        copy = PAGES / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        if file.suffix == ".md":
            waiting += [(file.parent / link).resolve() for link in links(file.read_text("utf-8"))]
    text = "# Python API\n" + "".join(f"\n::: p2bot_parlai.{name}\n" for name in API)
    (PAGES / "docs/python.md").write_text(text, encoding="utf-8")


def links(text: str) -> list[str]:
    """The files that a page links to."""
    return re.findall(r"\]\((?!http)([^)#\s]+)(?:#[^)]*)?\)", text)


if __name__ == "__main__":
    sys.exit(main())
