"""JSONL logs: what eval_model --world-logs wrote, read and compared; transcripts of self-play."""

import json

import fuzzing
import pytest
from fuzzing import cases, outcome, texts
from hypothesis import given
from hypothesis import strategies as st

from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.scripts.selfplay_transcript import write


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


REWARDS = st.fixed_dictionaries({"style": st.floats(), "persona": st.floats()})
TURNS = st.fixed_dictionaries(
    {
        "user": texts(),
        "agent": texts(),
        "rewards": REWARDS,
        "weighted": REWARDS,
        "reward": st.floats(),
    }
)
TRANSCRIPTS = st.fixed_dictionaries(
    {
        "user_persona": fuzzing.personas(),
        "agent_persona": fuzzing.personas(),
        "seed": st.integers(0, 2**40),
        "turns": st.lists(TURNS, max_size=3),
    }
)


@cases()
@given(st.lists(TRANSCRIPTS, max_size=3))
def test_a_transcript_has_a_line_a_dialogue(folder, transcripts):
    write(transcripts, str(folder / "played"))
    lines = (folder / "played.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    back = [json.loads(line) for line in lines]
    assert [d["seed"] for d in back] == [d["seed"] for d in transcripts]
    for one, other in zip(back, transcripts, strict=True):
        said = [turn["agent"] for turn in other["turns"]]
        assert [t["agent"] for t in one["turns"]] == [
            text.encode("utf-8", "replace").decode() for text in said
        ]
    text = (folder / "played.txt").read_text(encoding="utf-8")
    assert text.count("\nagent: ") == sum(len(d["turns"]) for d in transcripts)
