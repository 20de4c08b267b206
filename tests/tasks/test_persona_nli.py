"""Entailed pairs as dialogues of one utterance."""

import pytest
from parlai.scripts.display_data import setup_args

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tasks.persona_nli.agents import PersonaNliTeacher, parse_pairs

LINES = [
    "we sail on sundays .</s>i own a boat .</s>positive",
    "we sail on sundays .</s>i own a goat .</s>negative",
    "",
    "my lemons are ripe .</s>i grow lemons .</s>positive",
    "it is late .</s>i grow grapes .</s>neutral",
]


def teacher(folder):
    opt = setup_args().parse_kwargs(
        task="p2bot:persona_nli", datapath=str(folder), datatype="train", loglevel="error"
    )
    return PersonaNliTeacher(opt)


def test_positive_pairs_are_used(tmp_path):
    (tmp_path / "dnli").mkdir()
    (tmp_path / "dnli" / "nli-train.txt").write_text("\n".join(LINES), encoding="utf-8")
    task = teacher(tmp_path)
    assert task.num_examples() == 2
    message = task.get(0)
    assert message["text"] == "we sail on sundays ."
    assert message["label_candidates"] == ["i own a boat .", "i grow lemons ."]


def test_a_missing_file_names_the_flag(tmp_path):
    with pytest.raises(P2botError, match="--nli-path"):
        teacher(tmp_path)


@pytest.mark.parametrize("bad", ["no separator", "a</s>b</s>perhaps", "a</s></s>positive"])
def test_a_bad_line_is_named(bad):
    with pytest.raises(P2botError, match="pairs.txt, line 2"):
        parse_pairs(f"{LINES[0]}\n{bad}\n", "pairs.txt")
