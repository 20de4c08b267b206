"""The truth file of a sketch corpus in the data folder."""

import fuzzing
import pytest
from fuzzing import cases, outcome
from hypothesis import given
from hypothesis import strategies as st
from parlai.core.opt import Opt

from p2bot_parlai.parlai_support.dialogues import episodes
from p2bot_parlai.tasks.sketch import corpus
from p2bot_parlai.tasks.sketch.agents import SketchTeacher
from p2bot_parlai.tasks.sketch.files import truth_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sketch")


@cases(20, share=0.2)
@given(st.data())
def test_a_changed_truth_file_is_read_or_refused(folder, data):
    path = truth_file(str(folder), "valid", 1, 9)
    words = st.lists(st.sampled_from(("-", "0", "3", "9", "-7", "x", "\n")), max_size=12)
    sound = "".join(corpus.truth_lines("valid", 1, 9)).encode()
    with open(path, "wb") as file:
        file.write(data.draw(fuzzing.files(words.map(" ".join), sound)))
    given_ = {"task": "p2bot:sketch", "datatype": "valid", "datapath": str(folder)}
    opt = Opt({**given_, "batchsize": 1, "sketch_seed": 1, "sketch_dialogues": 9})
    found, refused = outcome(lambda: list(episodes(SketchTeacher(opt))))
    if refused:
        assert path in refused
        return
    for episode in found:
        shown = sum(
            line.startswith("your persona:") for m in episode for line in m["text"].split("\n")
        )
        assert all(m["reveals"] is None or 0 <= m["reveals"] < max(shown, 1) for m in episode)
