"""The files that keep a sketch corpus in the data folder."""

import fuzzing
import pytest
from fuzzing import cases, outcome
from hypothesis import given
from hypothesis import strategies as st
from parlai.core.opt import Opt

from p2bot_parlai.parlai_support.dialogues import episodes
from p2bot_parlai.tasks.sketch import corpus
from p2bot_parlai.tasks.sketch.agents import SketchTeacher
from p2bot_parlai.tasks.sketch.files import data_file, truth_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sketch")


@cases(20, share=0.2)
@given(st.data())
def test_files_that_were_changed_are_read_or_refused(folder, data):
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
