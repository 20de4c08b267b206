"""The commands of the README, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def commands(text: str, needs: str = "") -> list[str]:
    """The parlai commands of the bash blocks that need nothing, or what is named."""
    blocks = re.findall(r"(?:<!-- needs ([^>]*) -->\n)?```bash\n(.*?)```", text, re.S)
    joined = "\n".join(block for marked, block in blocks if marked == needs).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("parlai ")]


def run(line: str, folder, datapath) -> str:
    """What a command prints in this folder; it must succeed."""
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PARLAI_DATAPATH": str(datapath),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        line,
        shell=True,
        cwd=folder,
        env=environment,
        input="hello , how are you ?\n[EXIT]\n",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


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
    for line in found:
        if "train_model" in line:
            line += " --max-train-steps 5"
        out = run(line, tmp_path, convai2)
        if "eval_model" in line:
            for metric in ("hits@1", "ppl_word", "f1", "bleu-4"):
                assert metric in out
        if "interactive" in line:
            assert "i have two dogs." in out


def test_every_file_that_the_readme_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_commands_of_self_play(tmp_path, convai2, tiny_model, tiny_receiver):
    """With a tiny Transmitter and Receiver under the names that the README gives them."""
    found = commands(README.read_text(encoding="utf-8"), "models/p2bot and models/receiver")
    assert len(found) == 4
    for name, model in (("p2bot", tiny_model), ("receiver", tiny_receiver)):
        (tmp_path / "models").mkdir(exist_ok=True)
        for suffix in ("", ".dict", ".opt"):
            (tmp_path / f"models/{name}{suffix}").write_bytes(Path(model + suffix).read_bytes())
    fewer = {"train_model": "--max-train-steps 2", "selfplay_transcript": "--num-dialogues 2"}
    for line in found:
        script = line.split()[1]
        extra = fewer.get(script, "")
        if "eval_model -t p2bot:selfplay" in line:
            extra = "--selfplay-dialogues 8"
        out = run(f"{line} {extra}", tmp_path, convai2)
        if "selfplay" in extra:
            assert "perception" in out
    assert "persona of the agent" in (tmp_path / "dialogues.txt").read_text()
