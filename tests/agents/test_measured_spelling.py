"""How the training data are written is measured in training and kept in the model file."""

import shutil

import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver, read_model_file
from p2bot_parlai.method.spelling import CorpusSpelling, Spelling
from p2bot_parlai.zoo.packing import HERE

SKETCH = {"task": "p2bot:sketch", "sketch_dialogues": 40, "nup_coef": 0, "seed": 1}
LOWER = Spelling(
    lower=True, says_i=True, spaced=".,!?;:", joined="", contractions="full", straight=True
)


def spelling(model) -> CorpusSpelling:
    return CorpusSpelling(read_model_file(str(model))["p2bot"]["spelling"])


@pytest.fixture(scope="module")
def sketch(tmp_path_factory, convai2):
    path = tmp_path_factory.mktemp("sketch") / "model"
    tiny.train(convai2, path, **SKETCH, batchsize=4, max_train_steps=5)
    return path


def test_it_does_not_depend_on_the_batch(sketch, tmp_path, convai2):
    tiny.train(convai2, tmp_path / "other", **SKETCH, batchsize=10, max_train_steps=2)
    for found in (spelling(sketch), spelling(tmp_path / "other")):
        assert found.speech == LOWER
        assert found.profile.lower and "." in found.profile.joined
    whole, turns = tmp_path / "whole", tmp_path / "turns"
    tiny.train(convai2, whole, batchsize=4, max_train_steps=2, datatype="train:ordered")
    once = {"datatype": "train:ordered", "mutators": "flatten", "max_train_steps": 8}
    tiny.train(convai2, turns, batchsize=4, **once)
    assert spelling(whole).speech == spelling(turns).speech


def test_a_resumed_run_goes_on_counting(sketch, tmp_path, convai2):
    before = spelling(sketch)
    tiny.train(convai2, tmp_path / "model", **SKETCH, batchsize=4, max_train_steps=2)
    half = spelling(tmp_path / "model").counts["speech"]["texts"]
    tiny.train(convai2, tmp_path / "model", **SKETCH, batchsize=4, max_train_steps=5)
    assert half < before.counts["speech"]["texts"]
    assert spelling(tmp_path / "model").to_json() == before.to_json()


def test_another_corpus_replaces_it_and_selfplay_does_not(
    sketch, tmp_path, convai2, tiny_model, playing
):
    tiny.train(convai2, tmp_path / "tuned", init_model=str(sketch), batchsize=4, max_train_steps=4)
    assert not spelling(tmp_path / "tuned").speech.lower, "the tests' ConvAI2 has towns"
    tiny.train(convai2, tmp_path / "played", **playing)
    assert spelling(tmp_path / "played").to_json() == spelling(tiny_model).to_json()


def test_a_receiver_measures_utterances_and_profile_sentences(tiny_receiver):
    found = load_perceiver(tiny_receiver).spelling
    assert found.counts["speech"]["texts"] > 20 < found.counts["profile"]["texts"]
    assert found.profile.joined and found.speech.spaced


def test_a_model_of_before_has_none_and_a_damaged_one_is_refused(tiny_model, tmp_path):
    def with_spelling(saved):
        path = tmp_path / "model"
        states = read_model_file(tiny_model)
        states["p2bot"].pop("spelling")
        torch.save({**states, "p2bot": {**states["p2bot"], **saved}}, path)
        for ending in (".opt", ".dict"):
            shutil.copy(tiny_model + ending, f"{path}{ending}")
        return create_agent_from_model_file(str(path), {"loglevel": "error"})

    agent = with_spelling({})
    assert agent.spelling.speech == agent.spelling.profile == Spelling()
    for damaged in ([], {"speech": 3}, {"speech": {"letters": "many"}}):
        with pytest.raises(P2botError, match="spelling"):
            with_spelling({"spelling": damaged})


def test_what_ships_knows_its_corpus():
    for name in ("model", "receiver"):
        found = spelling(HERE / "sketch" / f"{name}.safetensors")
        assert found.speech == LOWER and (found.profile.spaced, found.profile.joined) == (
            ",",
            ".!?;:",
        )
