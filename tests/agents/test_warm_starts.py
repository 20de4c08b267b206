"""What a run starts from decides its tokenizer, shape and options; a contradiction is an error."""

import json
import shutil
from pathlib import Path

import pairs
import people
import pytest
import tiny
import torch
import transformers
from convai2_files import write_convai2
from parlai.core.agents import create_agent_from_model_file
from parlai.utils import logging

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver, read_model_file, read_tokenizer
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.metrics.nli import load_judge

NONE = dict.fromkeys(("backbone", "n_layers", "n_heads", "embedding_size", "n_positions"))
BASELINE = {**NONE, "vocab_size": 300}
QUICK = {"skip_generation": True}
SMALL = {
    "p2bot/seq2seq": {"hiddensize": 8, "embeddingsize": 8, "numlayers": 1, **QUICK},
    "p2bot/profile_memory": {"hidden_size": 8, "embedding_size": 8, **QUICK},
    "p2bot/kv_profile_memory": {"embedding_size": 8, "kv_memories": 10},
}
# another corpus, for another tokenizer
OTHER_PEOPLE = (tuple(["my {0} .", "your {0} .", "her {0} .", "our {0} ."]),) * 2


def write_data(folder) -> dict[str, str]:
    """Data folders of two corpora for each kind of task."""
    found = {}
    for number in (1, 2):
        found[f"talk{number}"] = write_convai2(folder / f"talk{number}", seed=number)
    found["people1"] = people.write_people(folder / "people1")
    found["people2"] = people.write_people(folder / "people2", sentences=OTHER_PEOPLE)
    found["pairs1"] = pairs.write_pairs(folder / "pairs1")
    found["pairs2"] = pairs.write_pairs(folder / "pairs2")
    file = Path(found["pairs2"], "dnli", "nli-train.txt")
    file.write_text(file.read_text().replace("enjoy", "quickly devour"))
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def train(data, model, corpus, path, **changes):
    """One step of a tiny model of this kind, on corpus 1 or 2."""
    given = {"max_train_steps": 1, "learningrate": 1e-9, "seed": 1, **changes}
    if model == "p2bot/receiver":
        people.train(data[f"people{corpus}"], path, **given)
    elif model == "p2bot/persona_nli":
        sizes = {k: v for k, v in pairs.NLI.items() if k not in given}
        given = {name: value for name, value in {**sizes, **given}.items() if value is not None}
        pairs.TrainModel.main(datapath=data[f"pairs{corpus}"], model_file=str(path), **given)
    elif model == "p2bot":
        tiny.train(data[f"talk{corpus}"], path, **QUICK, **given)
    else:
        sizes = {**BASELINE, **SMALL[model]}
        tiny.train(data[f"talk{corpus}"], path, **{**sizes, "model": model, **given})


MODELS = ("p2bot", "p2bot/receiver", "p2bot/persona_nli", *SMALL)


@pytest.fixture(scope="module")
def started(data, tmp_path_factory):
    """The path of a model of a kind, trained on the first corpus."""
    home = tmp_path_factory.mktemp("started")
    made: dict[str, str] = {}

    def path(model: str) -> str:
        if model not in made:
            made[model] = str(home / model.replace("/", "_"))
            train(data, model, 1, made[model], text_truncate=120)
        return made[model]

    return path


@pytest.mark.parametrize("model", MODELS)
def test_fine_tuning_goes_on_with_weights_tokenizer_and_options(data, started, tmp_path, model):
    start, path = started(model), tmp_path / "tuned"
    train(data, model, 2, tmp_path / "other")
    shutil.copy(tmp_path / "other.dict", f"{path}.dict")  # a leftover of another run
    own = ("encoder", "backbone", "n_layers", "n_heads", "embedding_size", "vocab_size")
    own += ("text_truncate", "hidden_size", "hiddensize", "embeddingsize", "numlayers", "dropout")
    train(data, model, 2, path, init_model=start, **dict.fromkeys(own))
    before, after = read_model_file(start), read_model_file(path)
    assert read_model_file(tmp_path / "other")["p2bot"]["tokenizer"] != before["p2bot"]["tokenizer"]
    assert Path(f"{path}.dict").read_text() == Path(f"{start}.dict").read_text()
    for entry in ("options", "tokenizer"):
        assert after["p2bot"][entry] == before["p2bot"][entry]
    for name, weight in before["model"].items():
        torch.testing.assert_close(after["model"][name], weight, atol=1e-6, rtol=0)
    saved = [json.loads(Path(f"{one}.opt").read_text()) for one in (start, path)]
    for name in (*before["p2bot"]["options"], "text_truncate"):
        if name != "context_style" or model == "p2bot":
            assert saved[1][name] == saved[0][name], name
    create_agent_from_model_file(str(path), tiny.QUIET)


def test_a_new_limit_stands_above_that_of_the_start(data, started, tmp_path):
    own = dict.fromkeys(("text_truncate", "label_truncate"))
    train(data, "p2bot", 1, tmp_path / "tuned", init_model=started("p2bot"), truncate=60, **own)
    saved = json.loads((tmp_path / "tuned.opt").read_text())
    assert (saved["text_truncate"], saved["label_truncate"]) == (60, 60)


@pytest.mark.parametrize("model", MODELS)
def test_weights_beside_another_tokenizer_are_refused(data, started, tmp_path, model):
    train(data, model, 2, tmp_path / "other")
    path = str(tmp_path / "model")
    for ending in ("", ".opt"):
        shutil.copy(started(model) + ending, path + ending)
    shutil.copy(tmp_path / "other.dict", f"{path}.dict")
    message = "another tokenizer than .*model.dict"
    with pytest.raises(P2botError, match=message):
        create_agent_from_model_file(path, tiny.QUIET)
    frozen = {"p2bot/receiver": load_perceiver, "p2bot/persona_nli": load_judge}
    if model in frozen:
        with pytest.raises(P2botError, match=message):
            frozen[model](path)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["m/typo", "zoo:p2bot/sketch/typo", "zoo:typo/model"])
def test_a_start_that_is_not_there_is_an_error(data, tmp_path, model, name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("it began")

    monkeypatch.setattr("parlai.scripts.train_model.build_dict", refuse)
    with pytest.raises(P2botError, match="--init-model.* there is no ") as found:
        train(data, model, 1, tmp_path / "model", init_model=name)
    assert name.split("/")[0] in str(found.value)
    assert not list(tmp_path.glob("model*"))


@pytest.mark.parametrize("way", ["init_model", "model_file"])
def test_a_start_without_its_tokenizer_is_an_error(data, started, tmp_path, way):
    for ending in ("", ".opt"):
        shutil.copy(started("p2bot/receiver") + ending, tmp_path / f"alone{ending}")
    given = {"init_model": str(tmp_path / "alone")} if way == "init_model" else {}
    path = tmp_path / ("tuned" if given else "alone")
    with pytest.raises(P2botError, match="alone.dict, the tokenizer of .*alone, is missing"):
        train(data, "p2bot/receiver", 1, path, **given)
    assert not path.with_name("alone.dict").exists()


def test_an_encoder_that_is_not_named_is_not_asked_for(data, started, tmp_path, monkeypatch):
    """It asked the hub for the tokenizer of the default encoder."""

    def refuse(*args, **kwargs):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("p2bot_parlai.method.backbones.hub.fetch", refuse)
    for model in ("p2bot/receiver", "p2bot/persona_nli"):
        given = {"init_model": started(model), "encoder": None, "vocab_size": None}
        train(data, model, 2, tmp_path / model.replace("/", "_"), **given)


def test_a_shared_encoder_stays_shared(data, tmp_path):
    train(data, "p2bot/receiver", 1, tmp_path / "start", share_encoders=True)
    train(data, "p2bot/receiver", 2, tmp_path / "tuned", init_model=str(tmp_path / "start"))
    assert read_model_file(tmp_path / "tuned")["p2bot"]["options"]["share_encoders"] is True
    assert json.loads((tmp_path / "tuned.opt").read_text())["share_encoders"] is True
    encoders = load_perceiver(str(tmp_path / "tuned")).network
    assert encoders.persona is encoders.impression


@pytest.fixture
def warned(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(logging, "warning", found.append)
    return found


def test_a_resumed_run_says_what_it_keeps(data, tmp_path, warned):
    given = {"learningrate": 1e-9, "weight_decay": 0.1, "betas": (0.9, 0.9)}
    for model in ("p2bot", "p2bot/receiver"):
        path = tmp_path / model.replace("/", "_")
        for steps in (1, 2):
            train(data, model, 1, path, **given, max_train_steps=steps)
        assert not [line for line in warned if "no effect" in line]
        changed = {**given, "learningrate": 0.5, "betas": (0.1, 0.2)}
        train(data, model, 1, path, **changed, max_train_steps=3)
        found = [line.split(". To change")[0] for line in warned if "no effect" in line]
        assert found == [
            "--learningrate 0.5 has no effect: this run goes on with 1e-09",
            "--betas (0.1, 0.2) has no effect: this run goes on with [0.9, 0.9]",
        ]
        (group,) = read_model_file(path)["optimizer"]["param_groups"]
        assert group["lr"] <= 1e-9 and tuple(group["betas"]) == (0.9, 0.9)
        warned.clear()


def test_a_tokenizer_left_behind_is_said(data, started, tmp_path, warned):
    shutil.copy(f"{started('p2bot')}.dict", tmp_path / "model.dict")
    train(data, "p2bot", 1, tmp_path / "model", vocab_size=310)
    (line,) = [line for line in warned if "--vocab-size has no effect" in line]
    assert line.startswith(str(tmp_path / "model.dict"))
    warned.clear()
    train(data, "p2bot", 1, tmp_path / "new", vocab_size=310)
    assert not [line for line in warned if "--vocab-size" in line]


@pytest.mark.parametrize("change", [{"dropout": 0.5}, {"vocab_size": 310}, {"tokenizer": "here"}])
def test_what_the_start_has_decided_cannot_be_changed(data, started, tmp_path, change):
    (name,) = change
    flag = "--" + name.replace("_", "-")
    with pytest.raises(P2botError, match=f"{flag} .* contradicts .*built with {flag}"):
        train(data, "p2bot", 1, tmp_path / "model", init_model=started("p2bot"), **change)


def test_pretrained_weights_come_with_their_tokenizer(data, started, tmp_path):
    """What a run without weights left behind was taken for it."""
    folder = tmp_path / "hub"
    sizes = {"n_positions": 256, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = transformers.GPT2Config(vocab_size=400, bos_token_id=1, eos_token_id=1, **sizes)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    own = P2botTokenizer.train(["i live in Bern . i eat soup"], vocab_size=300)
    own.backend.save(str(folder / "tokenizer.json"))
    shutil.copy(f"{started('p2bot')}.dict", tmp_path / "model.dict")
    train(data, "p2bot", 1, tmp_path / "model", backbone=str(folder))
    saved = read_model_file(tmp_path / "model")["p2bot"]["tokenizer"]
    assert saved == own.fingerprint()
    assert read_tokenizer(str(tmp_path / "model.dict")).fingerprint() == saved


def test_a_named_tokenizer_is_not_overruled(data, started, tmp_path):
    train(data, "p2bot", 2, tmp_path / "other")
    given = {"init_model": started("p2bot"), "dict_file": str(tmp_path / "other.dict")}
    with pytest.raises(P2botError, match="another tokenizer than .*other.dict"):
        train(data, "p2bot", 1, tmp_path / "model", **given)
