"""The campaign, in small: no kill loses anything, in any stage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).with_name("campaign.py")
MOMENTS = 2


@pytest.mark.slow
def test_a_killed_run_ends_as_the_unbroken_one(tmp_path):
    """In a process of its own, which forks: this one may have threads."""
    given = ["--folder", tmp_path, "--moments", MOMENTS, "--operations", "some", "--steps", 10]
    done = subprocess.run(
        [sys.executable, CAMPAIGN, *map(str, given)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in (tmp_path / "moments.jsonl").read_text().splitlines()]
    assert {moment["stage"] for moment in found} == {"supervised", "receiver", "self-play"}
    assert sum(moment["status"] == -9 for moment in found) >= 3 * MOMENTS
