"""Transcripts: every utterance and every reward of dialogues, as text and JSONL."""

import json

import pytest
import tiny

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.scripts.selfplay_transcript import SelfplayTranscript

EXAMPLE = {
    "user_persona": ["i own a cat."],
    "agent_persona": ["i eat soup.", "i live in Bern."],
    "seed": 1,
    "turns": [
        {
            "user": "hello",
            "agent": "hi ,\n i like \r soup",
            "rewards": {"style": -3.0, "persona": 2.0},
            "weighted": {"style": -1.2, "persona": 1.0},
            "reward": -0.2,
        }
    ],
}
TEXT = """persona of the user (frozen):
  i own a cat.
persona of the agent:
  i eat soup.
  i live in Bern.
user:  hello
agent: hi , i like soup
         reward -0.200 = -1.200 (style -3.000) + 1.000 (persona 2.000)"""


def write(convai2, model, receiver, outfile, **changes):
    given = {"model_file": model, "datapath": convai2, "receiver": receiver, **tiny.QUIET}
    given |= {"outfile": str(outfile), "num_dialogues": 5, "batchsize": 2, **changes}
    return SelfplayTranscript.main(**{k: v for k, v in given.items() if v is not None})


def test_an_utterance_is_one_line():
    assert as_text(EXAMPLE) == TEXT


def test_dialogues_are_written_twice(convai2, tiny_model, tiny_receiver, tmp_path):
    found = write(convai2, tiny_model, tiny_receiver, tmp_path / "out")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == found
    assert len(found) == 5 and all(len(dialogue["turns"]) == 3 for dialogue in found)
    text = (tmp_path / "out.txt").read_text(encoding="utf-8")
    for dialogue in found:
        assert as_text(dialogue) in text
        for turn in dialogue["turns"]:
            assert turn["reward"] == pytest.approx(sum(turn["weighted"].values()), abs=1e-5)
            assert set(turn["rewards"]) == {"style", "coherence", "persona"}


def test_mistakes_are_named(convai2, tiny_model, tiny_receiver, tmp_path):
    with pytest.raises(P2botError, match="-mf MODEL"):
        write(convai2, None, None, tmp_path / "out")
    with pytest.raises(P2botError, match="--receiver"):
        write(convai2, tiny_model, None, tmp_path / "out")
    with pytest.raises(P2botError, match="--num-dialogues 0"):
        write(convai2, tiny_model, tiny_receiver, tmp_path / "out", num_dialogues=0)
    with pytest.raises(P2botError, match="--outfile /nowhere/out"):
        write(convai2, tiny_model, tiny_receiver, "/nowhere/out", num_dialogues=1)
