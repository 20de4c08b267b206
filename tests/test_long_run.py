"""Memory, open files and speed of a long run, in small."""

from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("what", ["selfplay", "chat"])
def test_memory_and_files_stay(tmp_path, monkeypatch, what):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "bench"))
    import long_run

    picture = tmp_path / "run.svg"
    found = long_run.main([what, "--count", "200", "--longest", "20", "--plot", str(picture)])
    assert found["files"] <= 0
    assert found["memory"] < 0.1  # of which a short run warms up a part
    assert "open files" in picture.read_text(encoding="utf-8")
