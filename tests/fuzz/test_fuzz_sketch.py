"""Sketch corpora of any seed and size."""

import pytest
from fuzzing import cases, outcome
from hypothesis import example, given
from hypothesis import strategies as st
from parlai.core.opt import Opt

from p2bot_parlai.parlai_support.dialogues import episodes
from p2bot_parlai.tasks.sketch import corpus
from p2bot_parlai.tasks.sketch.agents import SketchTeacher

SEEDS = st.one_of(
    st.integers(-5, 50),
    st.sampled_from((2**31, -(2**63), 2**64)),
)
SIZES = st.one_of(st.integers(1, 40), st.sampled_from((-1, 0)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sketch")


@cases(25, share=0.02)
@given(SEEDS, st.integers(1, 40), st.sampled_from(corpus.VARIANTS), st.sampled_from(corpus.FOLDS))
def test_every_seed_makes_a_corpus(seed, dialogues, variant, fold):
    """20 different candidates with the label last, profile sentences that are there, few people."""
    lines = list(corpus.file_lines(fold, variant, True, seed, dialogues))
    truth = corpus.revealed(fold, seed, dialogues)
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
    for talk, places in zip(talks, truth, strict=True):
        assert all(place is None or place < len(talk.people[0].facts) for place in places)
    others = corpus.fold(({*corpus.FOLDS} - {fold}).pop(), seed, dialogues)
    assert not {t.people[0].facts for t in talks} & {t.people[0].facts for t in others}


@cases(15, share=0.02)
@given(SEEDS, SIZES)
@example(1, 0)
def test_a_teacher_of_any_seed_teaches_or_refuses(folder, seed, dialogues):
    given_ = {"task": "p2bot:sketch", "datatype": "valid", "datapath": str(folder)}
    opt = Opt({**given_, "batchsize": 1, "sketch_seed": seed, "sketch_dialogues": dialogues})
    teacher, refused = outcome(SketchTeacher, opt)
    if refused:
        assert "--sketch-" in refused
    else:
        assert len(list(episodes(teacher))) == max(1, dialogues // corpus.VALID_SHARE)
