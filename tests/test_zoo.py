"""The models that ship: they are there, load by name, and are worth something."""

import json
import shutil

import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.build_data import modelzoo_path

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver, read_model_file
from p2bot_parlai.zoo.sketch import HERE, NAMES, pack, unpack

SMALL = {"sketch_dialogues": 450, "loglevel": "error"}  # 50 to validate on


@pytest.mark.parametrize("kind", ["transmitter", "receiver"])
def test_packed_and_unpacked_is_the_same_model(kind, tmp_path, tiny_model, tiny_receiver):
    trained = tiny_model if kind == "transmitter" else tiny_receiver
    pack(trained, tmp_path / "model.safetensors")
    unpack(tmp_path / "model.safetensors", tmp_path / "out")
    before, after = read_model_file(trained)["model"], read_model_file(tmp_path / "out")["model"]
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-3, rtol=1e-3)
        assert after[name].dtype == tensor.dtype
    if kind == "transmitter":
        create_agent_from_model_file(str(tmp_path / "out"), {"loglevel": "error"})
    else:
        assert load_perceiver(str(tmp_path / "out")).tau == load_perceiver(trained).tau


def test_small_weights_of_adapters_are_packed_exactly(tmp_path, tiny_model):
    """A model file of adapters is in bfloat16, whose small numbers half precision does not have."""
    path = shutil.copyfile(tiny_model, tmp_path / "model")
    for ending in (".opt", ".dict"):
        shutil.copyfile(f"{tiny_model}{ending}", f"{path}{ending}")
    states = read_model_file(path)
    small = {name: (1e-5 * weight).bfloat16() for name, weight in states["model"].items()}
    torch.save({**states, "model": small}, path)
    pack(path, tmp_path / "packed.safetensors")
    for name, weight in read_model_file(tmp_path / "packed.safetensors")["model"].items():
        assert torch.equal(weight, small[name].float())


def test_a_missing_part_is_named(tmp_path, tiny_model):
    pack(tiny_model, tmp_path / "model.safetensors")
    (tmp_path / "model.dict").unlink()
    with pytest.raises(P2botError, match="model.dict is missing"):
        unpack(tmp_path / "model.safetensors", tmp_path / "out")


def test_they_ship_and_are_small():
    size = sum((HERE / f"{name}.safetensors").stat().st_size for name in NAMES)
    assert size < 6e6
    for name in NAMES:
        opt = json.loads((HERE / f"{name}.opt").read_text())
        assert not [value for value in opt.values() if str(value).startswith("/")]


@pytest.mark.slow
def test_the_model_that_ships_has_learnt_its_corpus(tmp_path):
    """Floors, not figures: those are in docs/log.md."""
    for variant in ("self_original", "self_revised"):
        report = tiny.evaluate(
            tmp_path, "zoo:p2bot/sketch/model", task=f"p2bot:sketch:{variant}", **SMALL
        )
        assert report["hits@1"] > 0.3  # chance: 0.05
        assert report["ppl"] < 2  # a model without personas: 2.25 (docs/log.md)
        assert report["f1"] > 0.26


@pytest.mark.slow
def test_the_receiver_that_ships_perceives(tmp_path):
    path = modelzoo_path(str(tmp_path), "zoo:p2bot/sketch/receiver")
    given = {"distractors": 9, "hard_candidates": 10, **SMALL}
    for variant in ("self_original", "self_revised"):
        task = f"p2bot:persona_perception:p2bot:sketch:{variant}"
        report = tiny.evaluate(tmp_path, path, task=task, **given)
        assert report["hits@1"] > 0.8  # chance: 0.1
        assert report["true_cell"] > 0.9  # chance: 0.23
