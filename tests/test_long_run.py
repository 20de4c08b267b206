"""A long run stays as it began, in small; and growth would be seen."""

from pathlib import Path

import pytest

from p2bot_parlai.method.memory import trim_memory


@pytest.fixture
def long_run(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "bench"))
    import long_run

    return long_run


@pytest.mark.slow
@pytest.mark.parametrize("what, count", [("selfplay", 400), ("chat", 200)])
def test_memory_and_files_stay(long_run, tmp_path, what, count):
    picture = tmp_path / "run.svg"
    found = long_run.main([what, "--count", str(count), "--longest", "20", "--plot", str(picture)])
    assert found["files"] <= 0
    assert found["memory"] < 0.1  # of which a short run warms up a part
    assert "open files" in picture.read_text(encoding="utf-8")


def test_growth_is_found(long_run):
    """100 samples of a run that leaks 1 MB and a file each, and halves its speed at the end."""
    samples, seconds = [], 0.0
    for n in range(1, 101):
        seconds += 1.0 if n <= 75 else 2.0
        samples.append(long_run.Sample(n, 10 * n, seconds, 100.0 + n, n))
    found = long_run.growth(samples)
    # kept: 20 to 100; the first quarter 20 to 39, the last 81 to 100
    assert found["memory"] == pytest.approx(190.5 / 129.5 - 1)
    assert found["speed"] == pytest.approx(-0.5)
    assert found["files"] == 80


def test_freed_memory_goes_back_to_the_system(long_run):
    """Blocks below a living one stay in glibc's heap until they are handed back."""
    before = long_run.sample(0, 0).memory
    blocks = [bytearray(100_000) for _ in range(2_000)]  # 200 MB, each below the mmap threshold
    last = blocks.pop()
    del blocks
    trim_memory()
    assert long_run.sample(0, 0).memory < before + 20
    del last
