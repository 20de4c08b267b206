"""Transcripts: every utterance and every reward of dialogues, as text and JSONL."""

import json

import pytest
import tiny

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import in_one_line
from p2bot_parlai.method.model_files import read_tokenizer
from p2bot_parlai.method.transcript import as_text
from p2bot_parlai.scripts.selfplay_transcript import SelfplayTranscript

EXAMPLE = {
    "user_persona": ["i own a cat."],
    "agent_persona": ["i eat soup.", "i live in Bern."],
    "seed": 1,
    "turns": [
        {
            "user": "hello",
            "agent": "hi , i like soup",
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


def test_as_text():
    assert as_text(EXAMPLE) == TEXT


def test_an_utterance_is_one_line():
    turn = {**EXAMPLE["turns"][0], "agent": "hi ,\n i like \r soup"}
    assert as_text({**EXAMPLE, "turns": [turn]}) == TEXT


def test_dialogues_are_written_twice(convai2, tiny_model, tiny_receiver, tmp_path):
    found = write(convai2, tiny_model, tiny_receiver, tmp_path / "out")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == found
    assert len(found) == 5 and all(len(dialogue["turns"]) == 3 for dialogue in found)
    text = (tmp_path / "out.txt").read_text(encoding="utf-8")
    tokenizer = read_tokenizer(f"{tiny_model}.dict")
    for dialogue in found:
        assert as_text(dialogue) in text
        for turn in dialogue["turns"]:
            assert turn["reward"] == pytest.approx(sum(turn["weighted"].values()), abs=1e-5)
            assert set(turn["rewards"]) == {"style", "coherence", "persona"}
            assert in_one_line(tokenizer.decode(turn["tokens"])) == turn["agent"]
            assert len(turn["log_probs"]) == len(turn["tokens"]) and max(turn["log_probs"]) < 0
        # the last response has no later turns: its persona reward is its perception (Eq. 8)
        last = dialogue["turns"][-1]
        assert last["perception"] == pytest.approx(last["rewards"]["persona"], abs=1e-6)
        assert last["perception"] != last["user_perception"]


def test_a_shipped_model_plays_on_its_own_corpus_with_the_receiver_beside_it(tmp_path):
    """Neither downloads ConvAI2 nor asks for --receiver."""
    given = {"model_file": "zoo:p2bot/sketch/model", "num_dialogues": 1, **tiny.QUIET}
    (dialogue,) = SelfplayTranscript.main(
        datapath=str(tmp_path), outfile=str(tmp_path / "deep" / "out"), **given
    )
    assert "persona" in dialogue["turns"][0]["rewards"]
    assert (tmp_path / "deep" / "out.txt").exists()
    assert not (tmp_path / "ConvAI2").exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_file": None, "receiver": None}, "-mf MODEL"),
        ({"receiver": None}, "--receiver"),
        ({"num_dialogues": 0}, "--num-dialogues 0"),
        ({"outfile": "/dev/null/out"}, "cannot write /dev/null/out.jsonl"),
    ],
)
def test_mistakes_are_said(convai2, tiny_model, tiny_receiver, tmp_path, changes, message):
    options = {"num_dialogues": 1, **changes}
    model, receiver = options.pop("model_file", tiny_model), options.pop("receiver", tiny_receiver)
    outfile = options.pop("outfile", tmp_path / "out")
    with pytest.raises(P2botError, match=message):
        write(convai2, model, receiver, outfile, **options)


def test_a_receiver_plays_nothing(convai2, tiny_receiver, tmp_path):
    with pytest.raises(P2botError, match="not trained with -m p2bot"):
        write(convai2, tiny_receiver, None, tmp_path / "out")
