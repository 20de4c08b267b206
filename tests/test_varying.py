"""Mutators that vary what is trained on, and nothing else."""

import random

import pytest
import tiny
from parlai.core.params import ParlaiParser
from parlai.core.teachers import create_task_agent_from_taskname

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.dialogues import Responses, episodes, read_dialogues
from p2bot_parlai.parlai_support.mutators import ANSWERED
from p2bot_parlai.parlai_support.varying import DROP, OWN_DISTRACTORS, REWORD, VARYING

ALL = "+".join(VARYING)
PERSONA = ("i own a boat.", "i grow lemons.", "i'm tall.")
DIALOGUE = [
    *(f"{n} your persona: {sentence}" for n, sentence in enumerate(PERSONA, 1)),
    "4 hi .\twe sail on sundays .\t\tgood night .|we sail on sundays .",
    "5 do you ?\tevery week .\t\tgood night .|every week .",
]
PAIRS = [
    ("we sail on Sundays", "i own a boat .", "positive"),  # what is said in the dialogue
    ("my yacht is white .", "I own a boat", "positive"),
    ("i own a goat .", "i own a boat .", "negative"),
    ("i have trees .", "i grow lemons .", "neutral"),
    ("i grow lemons .", "i like fruit .", "positive"),  # entails, and is not entailed
    ("doors are low for me .", "i am tall .", "positive"),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dnli").mkdir()
    for name, lines in (
        ("dialogues.txt", DIALOGUE),
        ("dnli/nli-train.txt", ["</s>".join(pair) for pair in PAIRS]),
    ):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def options(folder, mutators=ANSWERED, **changes):
    given = {"task": "fromfile:fbformat", "datatype": "train:ordered", "mutators": mutators}
    if "task" not in changes:
        given["fromfile_datapath"] = str(folder / "dialogues.txt")
    given |= {"datapath": str(folder), **tiny.QUIET, **changes}
    return ParlaiParser(True, False).parse_kwargs(**given)


def read(folder, mutators=ANSWERED, **changes) -> list[list]:
    return list(episodes_of(options(folder, mutators, **changes)))


def episodes_of(opt):
    return episodes(create_task_agent_from_taskname(opt)[0])


def texts(found) -> list[list[str]]:
    return [[message["text"] for message in episode] for episode in found]


def persona(episode) -> list[str]:
    lines = episode[0]["text"].split("\n")
    return [line.removeprefix("your persona: ") for line in lines if line.startswith("your")]


def test_a_sentence_becomes_one_that_entails_it(folder):
    (episode,) = read(folder, REWORD, reword_persona=1.0)
    assert persona(episode) == ["my yacht is white .", "i grow lemons.", "doors are low for me ."]
    assert [m["text"].split("\n")[-1] for m in episode] == ["hi .", "do you ?"]


def test_the_pairs_are_needed_in_training_alone(tmp_path, convai2):
    task = {"task": "convai2:self_original", "nli_path": str(tmp_path)}
    assert read(convai2, REWORD, datatype="valid", **task)
    with pytest.raises(P2botError, match="--nli-path"):
        read(convai2, REWORD, **task)


def test_dialogues_are_without_persona_at_the_rate_asked_for(convai2):
    task = {"task": "convai2:self_original"}
    never = read(convai2, DROP, **task, drop_persona=1.0)
    assert texts(never) == texts(read(convai2, task="convai2:none"))
    random.seed(1)
    opt = options(convai2, DROP, **task, drop_persona=0.5)
    first, second = ([not persona(e) for e in episodes_of(opt)] for _ in range(2))
    assert first != second  # drawn anew in each epoch
    assert 0 < sum(first + second) < 16
    random.seed(1)
    assert first == [not persona(e) for e in episodes_of(opt)]


def test_distractors_are_also_what_the_speaker_says_elsewhere(folder):
    (episode,) = read(folder, OWN_DISTRACTORS)
    assert [m["label_candidates"] for m in episode] == [
        ["good night .", "we sail on sundays .", "every week ."],
        ["good night .", "every week .", "we sail on sundays ."],
    ]


@pytest.mark.parametrize("datatype", ["valid", "train:evalmode"])
def test_evaluation_is_left_as_it_is(folder, datatype):
    changed = {"datatype": datatype, "reword_persona": 1.0, "drop_persona": 1.0}
    assert read(folder, ALL, **changed) == read(folder, datatype=datatype)


def test_what_other_tasks_are_made_of_is_too(folder):
    """Self-play, the Receiver and the list of responses: a draw there would not be resumed."""
    opt = options(folder, ALL.replace("+", ","), drop_persona=1.0)
    (dialogue,) = read_dialogues(opt, opt["task"], "train")
    assert dialogue.persona == list(PERSONA)
    state = random.getstate()
    assert Responses(opt).texts == ["we sail on sundays .", "every week ."]
    assert random.getstate() == state
