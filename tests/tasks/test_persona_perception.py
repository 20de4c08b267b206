"""The task: whose persona is it? Lists, distractors, own files, and bad input."""

import random
from pathlib import Path

import people
import pytest
from parlai.scripts.display_data import setup_args

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.personas import sentence_key
from p2bot_parlai.tasks.persona_perception.agents import PersonaPerceptionTeacher

REAL = Path(__file__).parents[3] / "shared" / "data"


def teacher(datapath, datatype="valid", task=people.TASK, **changes):
    given = {"distractors": 5, "hard_candidates": 8, "loglevel": "error", **changes}
    opt = setup_args().parse_kwargs(task=task, datapath=str(datapath), datatype=datatype, **given)
    return PersonaPerceptionTeacher(opt)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return people.write_people(tmp_path_factory.mktemp("people"))


def messages(task) -> list:
    return [task.get(index) for index in range(task.num_episodes())]


def test_a_message_is_a_whole_dialogue_of_the_speaker(folder):
    message = teacher(folder).get(6)  # person 3, four turns
    things = people.person(3)
    said = [text.format(thing) for text, thing in zip(people.SAID, things, strict=True)]
    assert message["text"] == "\n".join(said)
    persona = [text.format(thing) for text, thing in zip(people.ORIGINAL, things, strict=True)]
    assert message["labels"] == ["\n".join(persona)]
    assert message["episode_done"]


def test_one_other_person_in_training(folder):
    random.seed(0)
    task = teacher(folder, "train")
    drawn = set()
    for _ in range(20):
        message = task.get(0)
        own, other = message["label_candidates"]
        assert own == message["labels"][0]
        assert message["candidate_people"][0] == message["person"] != message["candidate_people"][1]
        assert "hard_candidates" not in message
        drawn.add(other)
    assert len(drawn) > 5  # drawn anew each time


def test_lists_hold_the_truth_and_other_people_once_and_never_variants_of_the_persona(folder):
    for message in messages(teacher(folder)):
        for name, size in (("label_candidates", 6), ("hard_candidates", 8)):
            assert len(message[name]) == len(set(message[name])) == size
            assert message["labels"][0] in message[name]
        assert len(set(message["candidate_people"])) == 6
        of_fold = [message["profile_sentences"][i] for i in message["own_sentences"]]
        assert of_fold == message["labels"][0].split("\n")
        own = {sentence_key(line) for line in message["labels"][0].split("\n")}
        for text in message["label_candidates"] + message["hard_candidates"]:
            shared = own & {sentence_key(line) for line in text.split("\n")}
            assert text == message["labels"][0] or not shared


def test_every_run_asks_the_same(folder):
    random.seed(1)
    first = messages(teacher(folder))
    random.seed(2)
    assert messages(teacher(folder, batchsize=7)) == first
    places = {m["label_candidates"].index(m["labels"][0]) for m in first}
    assert len(places) > 3  # the truth stands anywhere
    assert messages(teacher(folder, perception_seed=1)) != first


def test_own_file(tmp_path):
    file = tmp_path / "mine.txt"
    lines = [line for number in range(4) for line in people.dialogue(number)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    task = teacher(
        tmp_path,
        task=f"{people.TASK}:fromfile:fbformat",
        fromfile_datapath=str(file),
        distractors=3,
    )
    assert task.num_examples() == 4
    assert "hard_candidates" not in task.get(0)  # fewer people than the longer list wants


# ------------------------------------------------------------------------------ bad input
def test_fewer_people_than_distractors(folder):
    with pytest.raises(P2botError, match=r"12 different people.*31.*--distractors"):
        teacher(folder, distractors=31)
    with pytest.raises(P2botError, match="--distractors 0"):
        teacher(folder, distractors=0)


@pytest.mark.parametrize(
    "lines, missing",
    [
        (["1 hello\ti sing .", "2 why ?\ti like it ."], "profile sentence"),
    ],
)
def test_an_incomplete_dialogue_is_named(tmp_path, lines, missing):
    file = tmp_path / "broken.txt"
    file.write_text("\n".join([*people.dialogue(0), *lines]) + "\n", encoding="utf-8")
    given = {"task": f"{people.TASK}:fromfile:fbformat", "fromfile_datapath": str(file)}
    with pytest.raises(P2botError, match=f"dialogue 2 of fromfile:fbformat.*no {missing}"):
        teacher(tmp_path, **given)


# -------------------------------------------------------------------------- the real files
@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not there")
def test_the_real_dev_set_has_the_papers_100_people():
    folds = [
        teacher(REAL, task=f"{people.TASK}:self_{kind}", distractors=31).fold
        for kind in ("original", "revised")
    ]
    assert [len(fold.members) for fold in folds] == [100, 100]
    assert folds[0].people == folds[1].people
    assert len(folds[0].shortlist(0, 100)) == 100
