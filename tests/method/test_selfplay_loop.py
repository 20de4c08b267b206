"""examples/selfplay_loop.py: self-play without ParlAI."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "selfplay_loop.py"


def test_the_example_learns_where_parlai_cannot_be_imported():
    code = (
        "import runpy, sys\n"
        "sys.modules['parlai'] = None\n"  # `import parlai` is an ImportError now
        "example = runpy.run_path(sys.argv[1])\n"
        "learn, shipped = example['learn'], example['SHIPPED']\n"
        "models = [str(shipped / f'{name}.safetensors') for name in ('model', 'receiver')]\n"
        "rewards = learn(*models, steps=2, batch=2, lr=1e-3, seed=1)\n"
        "again = learn(*models, steps=2, batch=2, lr=0.0, seed=1)\n"
        # the first step plays the same dialogues; the second plays what was learnt
        "assert rewards[0] == again[0] and rewards[1] != again[1]\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(EXAMPLE)], capture_output=True, text=True, check=True
    )
    assert "step 2: reward" in found.stdout and "persona of the agent:" in found.stdout
