"""The commands of the README, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def commands(text: str) -> list[str]:
    """The parlai commands of the bash blocks, but for those that need the hub."""
    blocks = re.findall(r"(<!-- needs .*? -->\n)?```bash\n(.*?)```", text, re.S)
    joined = "\n".join(block for marked, block in blocks if not marked).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("parlai ")]


@pytest.mark.slow
def test_the_commands_work_in_an_empty_folder(tmp_path, convai2):
    """
    Only the data is ours, through PARLAI_DATAPATH, and fewer updates: ParlAI takes the last
    of two equal flags.
    """
    found = commands(README.read_text(encoding="utf-8"))
    assert [line.split()[1] for line in found] == [
        "train_model",
        "eval_model",
        "interactive",
        "self_chat",
    ]
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PARLAI_DATAPATH": str(convai2),
        "HF_HUB_OFFLINE": "1",
    }
    for line in found:
        if "train_model" in line:
            line += " --max-train-steps 5"
        done = subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env=environment,
            input="hello , how are you ?\n[EXIT]\n",
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        if "eval_model" in line:
            for metric in ("hits@1", "ppl_word", "f1", "bleu-4"):
                assert metric in done.stdout
        if "interactive" in line:
            assert "i have two dogs." in done.stdout


def test_every_file_that_the_readme_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
