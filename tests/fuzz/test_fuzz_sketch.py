"""Sketch corpora of any seed and size, and the files that keep them."""

import fuzzing
import pytest
from fuzzing import cases, outcome
from hypothesis import example, given
from hypothesis import strategies as st
from parlai.core.opt import Opt

from p2bot_parlai.parlai_support.dialogues import episodes
from p2bot_parlai.tasks.sketch import corpus
from p2bot_parlai.tasks.sketch.agents import SketchTeacher
from p2bot_parlai.tasks.sketch.files import data_file, truth_file

SEEDS = st.one_of(
    st.integers(-5, 50),
    st.integers(),
    st.sampled_from((2**31, -(2**63), 2**64, 10**100, 10**300, -(10**4000))),
)
SIZES = st.one_of(st.integers(1, 40), st.sampled_from((-1, 0, 10**9, 10**30)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sketch")


@cases(25, share=0.02)
@given(SEEDS, st.integers(1, 40), st.sampled_from(corpus.VARIANTS), st.sampled_from(corpus.FOLDS))
def test_every_seed_makes_a_corpus(seed, dialogues, variant, fold):
    """20 different candidates with the label last, profile sentences that are there, few people."""
    lines = list(corpus.file_lines(fold, variant, True, seed, dialogues))
    truth = list(corpus.truth_lines(fold, seed, dialogues))
    talks = corpus.fold(fold, seed, dialogues)
    assert len(talks) == len(truth) == sum(line.startswith("1 ") for line in lines)
    for line in lines:
        number, _, body = line.rstrip("\n").partition(" ")
        assert int(number) >= 1
        if "\t" in body:
            _, label, _, candidates = body.split("\t")
            offered = candidates.split("|")
            assert offered[-1] == label and len(set(offered)) == len(offered)
            assert 1 < len(offered) <= corpus.CANDIDATES
    for talk, line in zip(talks, truth, strict=True):
        places = [int(word) for word in line.split() if word != corpus.NONE]
        assert all(0 <= place < len(talk.people[0].facts) for place in places)
    others = corpus.fold(({*corpus.FOLDS} - {fold}).pop(), seed, dialogues)
    assert not {t.people[0].facts for t in talks} & {t.people[0].facts for t in others}


@cases(15, share=0.02)
@given(SEEDS, SIZES)
@example(10**300, 5)
@example(1, 10**9)
@example(1, 0)
def test_a_teacher_of_any_seed_teaches_or_refuses(folder, seed, dialogues):
    given_ = {"task": "p2bot:sketch", "datatype": "valid", "datapath": str(folder)}
    opt = Opt({**given_, "batchsize": 1, "sketch_seed": seed, "sketch_dialogues": dialogues})
    teacher, refused = outcome(SketchTeacher, opt)
    if refused:
        assert "--sketch-" in refused
    else:
        assert len(list(episodes(teacher))) == max(1, dialogues // corpus.VALID_SHARE)


@cases(20, share=0.2)
@given(st.data())
def test_files_that_were_changed_are_read_or_refused(folder, data):
    """In the data folder of somebody they may be anything."""
    size = (1, 9)
    paths = [
        data_file(str(folder), "valid", "self_original", True, *size),
        truth_file(str(folder), "valid", *size),
    ]
    sound = [
        "".join(corpus.file_lines("valid", "self_original", True, *size)).encode(),
        "".join(corpus.truth_lines("valid", *size)).encode(),
    ]
    changed = data.draw(st.integers(0, 1))
    words = st.lists(st.sampled_from(("-", "0", "3", "9", "-7", "x", "\n")), max_size=12)
    new = [fuzzing.damaged(sound[0]), fuzzing.files(words.map(" ".join), sound[1])]
    for place, path in enumerate(paths):
        content = data.draw(new[place]) if place == changed else sound[place]
        with open(path, "wb") as file:
            file.write(content)
    given_ = {"task": "p2bot:sketch", "datatype": "valid", "datapath": str(folder)}
    opt = Opt({**given_, "batchsize": 1, "sketch_seed": 1, "sketch_dialogues": 9})
    found, refused = outcome(lambda: list(episodes(SketchTeacher(opt))))
    if refused:
        assert any(path in refused for path in paths)
        return
    for episode in found:
        shown = sum(
            line.startswith("your persona:") for m in episode for line in m["text"].split("\n")
        )
        assert all(m["reveals"] is None or 0 <= m["reveals"] < max(shown, 1) for m in episode)
