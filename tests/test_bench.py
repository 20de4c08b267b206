"""The benchmarks run at their smallest size."""

import json
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.mark.slow
@pytest.mark.parametrize("size", ["tiny", "tiny llama"])
def test_speed(tmp_path, size):
    import speed

    flags = ["--sizes", size, "--pairs", "1", "--threads", "1", "--no-memory"]
    speed.main([*flags, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())[size]
    for work in ("training", "ranking", "beam", "self-play"):
        assert found[work]["ratio"] > 0
        assert found[work]["naive"]["flops"] > found[work]["ours"]["flops"] > 0
    assert found["generate"]["agree"] == 2


@pytest.mark.slow
def test_growth(tmp_path):
    import growth

    flags = ["--size", "tiny", "--points", "2", "--pairs", "1", "--plots", str(tmp_path)]
    assert set(growth.main([*flags, "--threads", "1"])) >= {"batch", "context", "group"}


@pytest.mark.slow
def test_serve(tiny_model, tmp_path):
    import serve

    flags = ["--clients", "3", "--alone", "1", "--pairs", "1", "--json", str(tmp_path / "found")]
    found = serve.main([tiny_model, *flags])
    assert found["ratio"] == found["together"][0] / found["alone"][0] > 0
    assert json.loads((tmp_path / "found").read_text()) == found


def test_gpu_check_names_what_is_missing(monkeypatch, capsys):
    import gpu_check

    monkeypatch.setattr(gpu_check, "NEEDED", ("pytest", "that-package"))
    assert gpu_check.main([]) == 1
    assert "not installed: that-package\n" in capsys.readouterr().out


def test_a_part_that_fails_is_reported_and_the_next_goes_on(monkeypatch, capsys, tmp_path):
    import gpu_check

    def broken(check):
        check.command("broken", "-c", "raise SystemExit(3)")

    monkeypatch.setitem(gpu_check.PARTS, "tests", broken)
    assert gpu_check.main(["--out", str(tmp_path), "--parts", "tests", "environment"]) == 1
    found = (tmp_path / "results/summary.md").read_text(encoding="utf-8")
    assert "## tests: FAILED" in found and "exit status 3" in found
    assert "## environment: done" in found and "torch 2" in found


def test_large_files_are_kept_in_parts(monkeypatch, tmp_path):
    import gpu_check

    (tmp_path / "run/steps/x").mkdir(parents=True)
    (tmp_path / "run/steps/x/model").write_bytes(b"abcdefgh")
    (tmp_path / "run/steps/x/model.checkpoint").write_bytes(b"not kept")
    monkeypatch.setattr(gpu_check, "LARGEST", 3)
    gpu_check.keep(tmp_path / "run", tmp_path / "kept")
    kept = sorted((tmp_path / "kept").rglob("*.*"))
    assert [file.name for file in kept] == ["model.part00", "model.part01", "model.part02"]
    assert b"".join(file.read_bytes() for file in kept) == b"abcdefgh"
