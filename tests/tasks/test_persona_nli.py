"""Labelled pairs, as questions and as dialogues of one utterance, of files and of the sketch."""

from collections import Counter

import pytest
from parlai.core.teachers import create_task_agent_from_taskname
from parlai.scripts.display_data import setup_args

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tasks.sketch.grammar import FACTS
from p2bot_parlai.tasks.sketch.nli import LABELS, relation, sketch_pairs

LINES = [
    "we sail on sundays .</s>i own a boat .</s>positive",
    "we sail on sundays .</s>i own a goat .</s>negative",
    "",
    "my lemons are ripe .</s>i grow lemons .</s>positive",
    "it is late .</s>i grow grapes .</s>neutral",
]


def teacher(folder, task, datatype="train:ordered", **given):
    opt = setup_args().parse_kwargs(
        task=task, datapath=str(folder), datatype=datatype, loglevel="error", **given
    )
    return create_task_agent_from_taskname(opt)[0]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dnli").mkdir()
    (tmp_path / "dnli" / "nli-train.txt").write_text("\n".join(LINES), encoding="utf-8")
    return tmp_path


def test_every_pair_is_a_question(folder):
    task = teacher(folder, "p2bot:persona_nli")
    assert task.num_examples() == task.num_episodes() == 4
    messages = [task.get(i) for i in range(4)]
    assert messages[1]["text"] == "we sail on sundays .\ni own a goat ."
    labels = [message["labels"][0] for message in messages]
    assert labels == ["positive", "negative", "positive", "neutral"]


def test_positive_pairs_are_dialogues(folder):
    task = teacher(folder, "p2bot:entailed_pairs")
    assert task.num_examples() == 2
    message = task.get(0)
    assert message["text"] == "we sail on sundays ."
    assert message["label_candidates"] == ["i own a boat .", "i grow lemons ."]


def test_a_csv_file_is_read_in_every_fold(tmp_path):
    file = tmp_path / "pairs.csv"
    text = 'label,utterance,persona_sentence\npositive,"we sail , ""often""",i own a boat .\n'
    file.write_text(text + "positive,my lemons are ripe .,i grow lemons .\n", encoding="utf-8")
    for datatype in ("train:ordered", "valid"):
        task = teacher(tmp_path, "p2bot:persona_nli", datatype, nli_path=str(file))
        assert task.get(0)["text"] == 'we sail , "often"\ni own a boat .'
    file.write_text(text + "positive,nothing beside it\n", encoding="utf-8")
    with pytest.raises(P2botError, match="line 3: not of the form CSV"):
        teacher(tmp_path, "p2bot:persona_nli", nli_path=str(file))
    file.write_text(text + '"' + "a" * 200_000, encoding="utf-8")  # more than csv takes
    with pytest.raises(P2botError, match="not of the form CSV"):
        teacher(tmp_path, "p2bot:persona_nli", nli_path=str(file))


@pytest.mark.parametrize("task", ["p2bot:persona_nli", "p2bot:entailed_pairs"])
def test_a_missing_file_names_the_flag(tmp_path, task):
    with pytest.raises(P2botError, match="--nli-path"):
        teacher(tmp_path, task)


def test_an_unknown_variant_is_named(folder):
    with pytest.raises(P2botError, match="p2bot:persona_nli:sketch"):
        teacher(folder, "p2bot:persona_nli:sketsh")


# ------------------------------------------------------------------------------- the sketch
def test_relations_of_sketch_facts():
    dog, cat, fear = FACTS["pet: a dog"], FACTS["pet: a cat"], FACTS["fear: big dogs"]
    pizza, steak = FACTS["food: pizza"], FACTS["food: steak"]
    assert relation(dog, None, dog) == "positive"
    assert relation(dog, None, fear) == relation(fear, None, dog) == "negative"  # a clash
    assert relation(dog, None, cat) == "neutral"  # one may have both
    assert relation(pizza, None, steak) == "negative"  # but one favourite
    assert relation(None, dog.kind, cat) == "negative"  # "i do not have a pet"
    assert relation(None, dog.kind, pizza) == "neutral"
    assert relation(None, None, dog) == "neutral"  # small talk


def test_sketch_pairs_are_balanced_and_the_same_every_time():
    first = sketch_pairs("valid", 1, 180)
    counts = Counter(label for _, _, label in first)
    assert set(counts) == set(LABELS) and len(set(counts.values())) == 1
    assert len({pair[:2] for pair in first}) == len(first) > 60
    sketch_pairs.cache_clear()
    assert sketch_pairs("valid", 1, 180) == first
    assert sketch_pairs("valid", 2, 180) != first
