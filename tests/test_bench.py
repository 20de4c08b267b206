"""The benchmarks run, and both sides of them come to the same; sizes are tiny."""

import json
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_speed(tmp_path, capsys, monkeypatch, precision):
    import speed

    if precision == "bf16":  # emulated here: seconds
        monkeypatch.setattr(speed, "peak", lambda precision: 1e12)
    flags = ["--sizes", "tiny", "--pairs", "1", "--threads", "1", "--no-memory"]
    speed.main([*flags, "--precision", precision, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["precision"] == precision
    for work in ("training", "ranking", "beam", "self-play"):
        of = found["tiny"][work]
        assert of["ratio"] > 0 and of["naive"]["flops"] > of["ours"]["flops"] > 0
        assert 0 < of["ours"]["share_of_peak"] < 1
    assert found["tiny"]["generate"]["agree"] == 2 or precision == "bf16"
    assert "hugging_face/gpt2" in capsys.readouterr().out


def test_a_part_of_the_reference_stands_for_all():
    """Twice the rows are twice the products: what is timed of a part may be scaled."""
    import measure
    import setting
    import work

    half = work.Works(setting.SIZES["tiny"], naive_rows=1)
    whole = work.Works(setting.SIZES["tiny"])
    for name in ("beam", "self-play"):
        part, everything = half.get(name), whole.get(name)
        part.check()
        assert part.naive_share == 0.5 and everything.naive_share == 1
        scaled = measure.flops(part.run["naive"]) / part.naive_share
        assert scaled == pytest.approx(measure.flops(everything.run["naive"]), rel=0.1)


def test_a_difference_stops_it():
    import setting
    import work

    works = work.Works(setting.SIZES["tiny"])
    works.naive.network.next_utterance.weight.data.mul_(-1)
    for name in ("training", "ranking"):
        with pytest.raises(AssertionError):
            works.get(name).check()
    works.naive.network.backbone.tokens_embed.weight.data.normal_()
    for name in ("beam", "self-play"):
        with pytest.raises(AssertionError):
            works.get(name).check()


@pytest.mark.slow
def test_memory_is_of_one_side():
    import measure

    much = [0] * 10**8  # 800 MB of this process are none of the other's
    found = measure.memory_of("tiny", "fp32", "ranking", "naive")
    assert 0 < found["before"] <= found["peak"] < measure.resident() - 200
    del much


@pytest.mark.slow
def test_overhead(capfd):
    import overhead

    overhead.main(["--updates", "2", "--examples", "700"])
    said = capfd.readouterr().out
    assert "% in the model" in said and "examples loaded again" in said


def test_growth(tmp_path):
    import growth

    flags = ["--size", "tiny", "--points", "2", "--pairs", "1", "--plots", str(tmp_path)]
    found = growth.main([*flags, "--threads", "1"])
    for what in ("batch", "context", "candidates", "turns"):
        assert [point["value"] for point in found[what]] == list(growth.GROWS[what][1][:2])
        picture = tmp_path / f"growth_{what}.svg"
        assert 0 < picture.stat().st_size < 50_000


@pytest.mark.slow
def test_sketch_size_agrees():
    import setting
    import work

    works = work.Works(setting.SIZES["sketch"])
    for name in works.NAMES:
        works.get(name).check()
