"""The models that ship: they are there, load by name, and are worth something."""

import json
import re
import shutil
from pathlib import Path

import people
import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.build_data import modelzoo_path
from safetensors import safe_open

from p2bot_parlai import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import packaged
from p2bot_parlai.method.checksums import checksum
from p2bot_parlai.method.model_files import load_perceiver, read_model_file
from p2bot_parlai.parlai_support.names import SHIPPED
from p2bot_parlai.zoo.packing import HERE, pack, unpack

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


@pytest.fixture
def adapted(tmp_path, convai2, playing) -> Path:
    """Adapters on a tiny backbone, self-play that stands on them, and a Receiver of adapters."""
    given = {"adapter": "lora", "adapter_rank": 2, "max_train_steps": 2}
    supervised, base = tmp_path / "supervised", tiny.save_backbone(tmp_path / "base")
    tiny.train(convai2, supervised, **tiny.PRETRAINED, **given, backbone=base)
    played = {**playing, "init_model": str(supervised), "adapter_rank": 3}
    tiny.train(convai2, tmp_path / "model", **played)
    given |= dict.fromkeys(("vocab_size", "n_layers", "n_heads", "embedding_size"))
    given |= {"encoder": people.save_encoder(tmp_path / "encoder"), "share_encoders": True}
    people.train(people.write_people(tmp_path / "data"), tmp_path / "receiver", **given)
    return tmp_path


def test_of_adapters_only_what_the_base_lacks_is_packed(adapted):
    packed = adapted / "packed"
    for folder in (packed, adapted / "out"):
        folder.mkdir()
    files = {name: packed / f"{name}.safetensors" for name in ("supervised", "model", "receiver")}
    for name, file in files.items():
        below = files["supervised"] if name == "model" else None
        pack(adapted / name, file, below)
        unpack(file, adapted / "out" / name)
    assert {file.suffix for file in packed.iterdir()} == {".opt", ".safetensors"}
    with safe_open(files["model"], framework="pt") as file:
        assert all(".adapters.1." in name for name in file.keys())  # noqa: SIM118
    for name in files:
        before, after = (read_model_file(adapted / place / name) for place in ("", "out"))
        assert before["model"].keys() == after["model"].keys()
        for key, weight in before["model"].items():
            assert torch.equal(after["model"][key], weight.float())
        tokenizers = (adapted / place / f"{name}.dict" for place in ("", "out"))
        assert len({json.dumps(json.loads(file.read_text())) for file in tokenizers}) == 1
    agent = create_agent_from_model_file(str(adapted / "out" / "model"), {"loglevel": "error"})
    user = agent.selfplay.files.saved["user"]  # with whom an evaluation of self-play plays
    assert user == {"path": str(adapted / "out" / "supervised"), "sha256": checksum(user["path"])}
    load_perceiver(str(adapted / "out" / "receiver"))
    with pytest.raises(P2botError, match="does not stand on .*model.safetensors"):
        pack(adapted / "supervised", packed / "other.safetensors", below=files["model"])


def test_without_its_base_one_line_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(P2botError) as raised:
        P2Bot.load("zoo:p2bot/smollm2/model", datapath=tmp_path)
    assert str(raised.value).endswith(packaged.COMMAND) and "\n" not in str(raised.value)
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert packaged.COMMAND in readme.replace("\\\n  ", "")


def test_a_missing_part_is_named(tmp_path, tiny_model):
    pack(tiny_model, tmp_path / "model.safetensors")
    (tmp_path / "model.dict").unlink()
    with pytest.raises(P2botError, match="model.dict is missing"):
        unpack(tmp_path / "model.safetensors", tmp_path / "out")


@pytest.mark.parametrize("family, megabytes", [("sketch", 6), ("smollm2", 32)])
def test_they_ship_and_are_small(family, megabytes):
    packed = list((HERE / family).glob("*.safetensors"))
    names = {f"zoo:p2bot/{family}/{file.stem}" for file in packed}
    assert names == set(re.findall(rf"zoo:p2bot/{family}/\w+", SHIPPED))
    assert sum(file.stat().st_size for file in packed) < megabytes * 1e6
    for file in packed:
        opt = json.loads(file.with_suffix(".opt").read_text())
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
