"""parlai sample_answers: the same contexts, everybody's answers, three files."""

import html
import json

import pytest
import tiny

from p2bot_parlai.errors import P2botError
from p2bot_parlai.scripts.sample_answers import SampleAnswers


def sample(convai2, out, **changes):
    given = {"task": "convai2:self_original", "datapath": convai2, "outfile": str(out)}
    return SampleAnswers.main(**{**given, "number": 3, "seed": 2, **tiny.QUIET, **changes})


def test_three_files_of_the_same(convai2, tiny_model, tmp_path):
    found = sample(convai2, tmp_path / "new" / "t4", systems=[f"P²Bot={tiny_model}"])
    assert len(found) == 3
    assert all(list(record["responses"]) == ["human", "P²Bot"] for record in found)
    lines = (tmp_path / "new" / "t4.jsonl").read_text(encoding="utf-8").splitlines()
    again = [json.loads(line) for line in lines]
    assert [r["responses"] for r in again] == [r["responses"] for r in found]
    for ending in ("md", "html"):
        text = (tmp_path / "new" / f"t4.{ending}").read_text(encoding="utf-8")
        assert "--number 3 --seed 2" in text
        for record in found:
            assert record["responses"]["human"] in html.unescape(text)


def test_the_seed_decides(convai2, tmp_path):
    first, again, other = (
        sample(convai2, tmp_path / "t4", seed=seed)[0]["context"] for seed in (2, 2, 5)
    )
    assert first == again != other


def test_where_it_cannot_write(convai2, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(P2botError, match="cannot write"):
        sample(convai2, tmp_path / "file" / "t4")
