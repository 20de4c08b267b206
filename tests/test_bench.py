"""The benchmarks run at their smallest size."""

import json
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.mark.slow
def test_speed(tmp_path):
    import speed

    flags = ["--sizes", "tiny", "--pairs", "1", "--threads", "1", "--no-memory"]
    speed.main([*flags, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())["tiny"]
    for work in ("training", "ranking", "beam", "self-play"):
        assert found[work]["ratio"] > 0
        assert found[work]["naive"]["flops"] > found[work]["ours"]["flops"] > 0
    assert found["generate"]["agree"] == 2


@pytest.mark.slow
def test_growth(tmp_path):
    import growth

    flags = ["--size", "tiny", "--points", "2", "--pairs", "1", "--plots", str(tmp_path)]
    assert set(growth.main([*flags, "--threads", "1"])) >= {"batch", "context", "candidates"}


@pytest.mark.slow
def test_overhead(capfd):
    import overhead

    overhead.main(["--updates", "2", "--examples", "100"])
    assert "examples loaded again" in capfd.readouterr().out
