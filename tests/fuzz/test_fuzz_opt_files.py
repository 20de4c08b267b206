"""Files of options: of any bytes, and a real one that lacks some options."""

import json
import pickle
import shutil

import fuzzing
import pytest
from fuzzing import cases, outcome
from hypothesis import example, given
from hypothesis import strategies as st
from parlai.core.agents import create_agent_from_model_file
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
@example(pickle.dumps(PLAIN))
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


@cases(40)
@given(st.one_of(fuzzing.texts(), st.sampled_from((":", "a:", ":a", ".:a", "a.b:c", "sys.x:y"))))
def test_any_name_of_an_agent_is_loaded_or_refused(model, saved, name):
    with open(f"{model}.opt", "w", encoding="utf-8") as file:
        file.write(fuzzing.as_json({**saved, "model": name}))
    agent, refused = outcome(create_agent_from_model_file, str(model), {"loglevel": "error"})
    assert agent or f"{model}.opt" in refused
