"""examples/selfplay_loop.py: self-play without ParlAI."""

import runpy
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "selfplay_loop.py"


def test_the_example_learns_where_parlai_cannot_be_imported(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "parlai"]:
        monkeypatch.setitem(sys.modules, name, None)  # to import it is an ImportError now
    monkeypatch.setitem(sys.modules, "parlai", None)
    example = runpy.run_path(str(EXAMPLE))
    models = [str(example["SHIPPED"] / f"{name}.safetensors") for name in ("model", "receiver")]
    rewards = example["learn"](*models, steps=2, batch=2, lr=1e-3, seed=1)
    again = example["learn"](*models, steps=2, batch=2, lr=0.0, seed=1)
    # the first step plays the same dialogues; the second plays what was learnt
    assert rewards[0] == again[0] and rewards[1] != again[1]
    said = capsys.readouterr().out
    assert "step 2: reward" in said and "persona of the agent:" in said
