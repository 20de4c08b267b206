"""JSONL logs that eval_model --world-logs wrote: read and compared."""

import fuzzing
import pytest
from fuzzing import cases, outcome
from hypothesis import given
from hypothesis import strategies as st

from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.scripts.compare import compare_all, format_table


def turn(number: int) -> list[dict]:
    metrics = {"hits@1": 1.0, "ppl": 7.5 + number, "loss": 2.0, "f1": 0.25, "clen": 4}
    return [
        {"id": "convai2:self_original", "text": f"hello {number}", "eval_labels": ["hi ."]},
        {"id": "P2bot", "text": f"i eat soup {number} .", "metrics": metrics, "label_tokens": 3,
         "label_words": 2},
    ]  # fmt: skip


SOUND = [{"dialog": [turn(1), turn(2)]}, {"dialog": [turn(3)]}, {"dialog": [turn(4)]}]
OPT = {"compared": ["A", "B"], "compare_metrics": None, "seed": 1, "resamples": 99}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


def read(folder, name: str, content: bytes):
    (folder / name).write_bytes(content)
    return outcome(read_world_logs, str(folder / name))


@cases(80)
@given(fuzzing.json_lines(SOUND))
def test_world_logs_are_read_or_refused(folder, content):
    examples, refused = read(folder, "one.jsonl", content)
    if refused:
        assert "one.jsonl" in refused
        return
    assert len({example.name for example in examples}) == len(examples) > 0
    for example in examples:
        for total, weight in example.metrics.values():
            assert weight > 0 and isinstance(float(total), float)


@cases(20, share=0.1)
@given(st.data(), st.sampled_from(("dialogue", "turn")))
def test_any_two_logs_compare(folder, data, unit):
    """A table of numbers, or why there is none."""
    both, sound = [], st.sampled_from(SOUND)
    for name in ("A", "B"):
        line = st.one_of(sound, sound, sound.flatmap(fuzzing.altered)).map(fuzzing.as_json)
        lines = data.draw(st.lists(line, min_size=1, max_size=4))
        examples, refused = read(folder, name, "\n".join(lines).encode())
        if refused:
            return
        both.append(examples)
    found, refused = outcome(compare_all, *both, {**OPT, "unit": unit})
    for task, rows in (found or {}).items():
        assert format_table(task, rows, unit)
        for row in rows:
            assert 0 <= row.p <= 1 or row.first != row.first or row.second != row.second
