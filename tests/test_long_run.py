"""A long run stays as it began, in small; and growth would be seen."""

from pathlib import Path

import pytest


@pytest.fixture
def long_run(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "bench"))
    import long_run

    return long_run


@pytest.mark.slow
@pytest.mark.parametrize("what, count", [("selfplay", 200), ("chat", 200)])
def test_memory_and_files_stay(long_run, tmp_path, what, count):
    picture = tmp_path / "run.svg"
    found = long_run.main([what, "--count", str(count), "--longest", "20", "--plot", str(picture)])
    assert found["files"] <= 0
    assert found["memory"] < 0.1  # of which a short run warms up a part
    assert "open files" in picture.read_text(encoding="utf-8")


def test_growth_is_found(long_run):
    """100 samples of a run that leaks 1 MB and a file each, and halves its speed at the end."""
    seconds = [min(n, 75) + 2.0 * max(n - 75, 0) for n in range(101)]
    samples = [long_run.Sample(n, 10 * n, seconds[n], 100.0 + n, n) for n in range(1, 101)]
    found = long_run.growth(samples)
    # kept: 20 to 100; the first quarter 20 to 39, the last 81 to 100
    assert found["memory"] == pytest.approx(190.5 / 129.5 - 1)
    assert found["speed"] == pytest.approx(-0.5)
    assert found["files"] == 80
