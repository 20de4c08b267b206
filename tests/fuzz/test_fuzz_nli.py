"""Dialogue NLI files: read right, or refused by the line."""

import fuzzing
import pytest
from fuzzing import cases, outcome, texts
from hypothesis import example, given
from hypothesis import strategies as st
from parlai.core.opt import Opt

from p2bot_parlai.agents.persona_nli import read_pair
from p2bot_parlai.metrics.nli import LABELS
from p2bot_parlai.parlai_support.nli_files import SEPARATOR, read_pairs

SOUND = "i like tea .</s>i enjoy tea.</s>positive\ni hate tea .</s>i enjoy tea.</s>negative\n"
FIELDS = st.one_of(texts(), texts(breaks=False), st.sampled_from(LABELS))
LINES = st.lists(FIELDS, max_size=4).map(SEPARATOR.join)
GOOD = st.tuples(fuzzing.sentences(), fuzzing.sentences(), st.sampled_from(LABELS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dnli")


def read(folder, content: bytes):
    (folder / "nli-valid.txt").write_bytes(content)
    return outcome(read_pairs, Opt({"nli_path": str(folder)}), "valid")


@cases(80)
@given(fuzzing.files(st.lists(LINES, max_size=5).map("\n".join), SOUND.encode()))
@example(b"\xff")
@example(b"\xef\xbb\xbfi like tea .</s>i enjoy tea.</s>positive")
def test_a_file_is_read_or_refused(folder, content):
    found, refused = read(folder, content)
    if refused:
        assert "nli-valid.txt" in refused
        return
    assert len(found[1]) > 0
    for utterance, sentence, label in found[1]:
        assert label in LABELS and utterance and sentence
        assert read_pair(f"{utterance}\n{sentence}") == (utterance, sentence)


@cases()
@given(st.lists(GOOD, min_size=1, max_size=4), st.sampled_from(("\n", "\r\n", "\n\n")))
def test_a_sound_file_is_read_as_it_was_written(folder, pairs, end):
    content = end.join(SEPARATOR.join(pair) for pair in pairs) + end
    found, refused = read(folder, content.encode())
    assert not refused and found[1] == pairs
