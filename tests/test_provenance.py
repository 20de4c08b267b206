"""A model file says which run made it."""

import copy
from pathlib import Path

import pytest
import tiny
from parlai.core.teachers import create_task_agent_from_taskname
from parlai.scripts.train_model import setup_args
from parlai.utils import logging

from p2bot_parlai import __version__
from p2bot_parlai.method.checksums import checksum
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.parlai_support.provenance import files_read, of_run

DATA = "ConvAI2/train_self_original.txt"


def provenance(path) -> dict:
    return read_model_file(path)["p2bot"]["provenance"]


@pytest.fixture
def data(convai2) -> dict:
    path = f"{convai2}/{DATA}"
    return {Path(path).name: checksum(path)}


def test_a_model_tells_its_run_and_its_start(convai2, data, tmp_path, monkeypatch):
    start, tuned = tmp_path / "start", tmp_path / "tuned"
    given = {"max_train_steps": 1, "validation_max_exs": 2}
    tiny.train(convai2, start, seed=5, **given)
    first = provenance(start)
    assert first["version"] == __version__ and first["seed"] == 5 and first["data"] == data
    assert first["options"]["task"] == "convai2:self_original" and "started_from" not in first
    assert first["options"]["model_file"] == "start", "no folders: they are nobody's business"
    assert str(tmp_path) not in str(first)

    tiny.train(convai2, tuned, init_model=str(start), **given)
    second = provenance(tuned)
    assert second["started_from"] == {"file": "start", "sha256": checksum(str(start))}
    assert second["seed"] is None and second["data"] == data

    said: list[str] = []
    monkeypatch.setattr(logging, "info", said.append)
    tiny.train(convai2, tuned, **{**given, "max_train_steps": 2}, seed=6)  # goes on
    assert f"{tuned} was made by {second}" in said
    assert provenance(tuned) == {**second, "options": provenance(tuned)["options"], "seed": 6}


@pytest.mark.parametrize("task", ["p2bot:persona_perception", "p2bot:selfplay"])
def test_the_data_is_that_of_the_task_behind(convai2, data, task):
    opt = setup_args().parse_kwargs(model="p2bot", task=task, datapath=convai2)
    with files_read() as read:
        create_task_agent_from_taskname(copy.deepcopy(opt))
    assert of_run(opt, read)["data"] == data
