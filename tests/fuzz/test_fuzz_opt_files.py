"""Files of options: of any bytes, and a real one of which one thing was changed."""

import json
import math
import pickle
import shutil

import fuzzing
import pytest
from fuzzing import cases, outcome
from hypothesis import example, given
from hypothesis import strategies as st
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message
from parlai.core.opt import Opt

PLAIN = {"model": "p2bot", "batchsize": 2, "names": ["a", None, 1.5]}


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("opts")
    for ending in ("", ".opt", ".dict"):
        shutil.copy(f"{tiny_model}{ending}", folder / f"model{ending}")
    return folder / "model"


@pytest.fixture(scope="module")
def saved(tiny_model) -> dict:
    with open(f"{tiny_model}.opt", encoding="utf-8") as file:
        return json.load(file)


PICKLED = st.sampled_from((0, 2, 4)).map(lambda protocol: pickle.dumps(PLAIN, protocol))


@cases(80)
@given(st.one_of(fuzzing.json_files(PLAIN), PICKLED, PICKLED.flatmap(fuzzing.damaged)))
@example(b"\x80")
@example(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.")
def test_options_are_read_or_refused(model, content):
    path = f"{model}.opt"
    with open(path, "wb") as file:
        file.write(content)
    found, refused = outcome(Opt.load, path)
    if refused:
        assert path in refused
    else:
        assert isinstance(found, Opt)
        if content == fuzzing.as_json(PLAIN).encode():
            assert found == PLAIN


@st.composite
def changes(draw, saved) -> dict:
    """One to three options, with values of any kind or without them."""
    names = draw(st.lists(st.sampled_from(sorted(saved)), min_size=1, max_size=3, unique=True))
    near = st.one_of(st.integers(-2, 3), st.floats(), st.sampled_from((0, "", "x", None, [], {})))
    changed = {**saved, **{name: draw(st.one_of(near, near, fuzzing.VALUES)) for name in names}}
    if draw(st.booleans()):
        del changed[names[0]]
    return changed


@cases(30, share=0.01)
@given(st.data())
def test_a_model_with_changed_options_loads_and_answers_or_is_refused(model, saved, data):
    check(model, data.draw(changes(saved)))


@pytest.mark.parametrize(
    "changed",
    [
        {"n_heads": 0},
        {"beam_size": None},
        {"alpha": []},
        {"temperature": math.nan},
        {"inference": "topk", "topk": 0},
        {"rank_by": "taste"},
        {"text_truncate": 10**40},
        {"beam_min_length": 10**6},
        {"model": "\x1b[2J"},
        {"init_model": 1.5},
    ],
    ids=str,
)
def test_options_that_cannot_be_meant(model, saved, changed):
    check(model, {**saved, **changed})


def check(model, options: dict) -> None:
    with open(f"{model}.opt", "w", encoding="utf-8") as file:
        file.write(fuzzing.as_json(options))
    agent, refused = outcome(create_agent_from_model_file, str(model), {"loglevel": "error"})
    if agent is None:
        assert refused
        return
    message = Message({"text": "your persona: i eat soup.\nhello", "episode_done": True})
    seen, refused = outcome(agent.observe, message)
    if not refused:
        reply, refused = outcome(agent.act)
        assert refused or isinstance(reply["text"], str)
