"""Model files, dictionaries, released originals: of any bytes, and sound ones that were changed."""

import io
import json
import shutil
from pathlib import Path

import fuzzing
import pytest
import torch
from fuzzing import cases, outcome
from hypothesis import example, given
from hypothesis import strategies as st
from original_files import (
    Reference,
    a_bert,
    bert_states,
    write_bert_vocabulary,
    write_file,
    write_vocabulary,
)
from parlai.core.agents import create_agent_from_model_file

from p2bot_parlai.method.context_style import ORIGINAL
from p2bot_parlai.method.model_files import load_perceiver, read_model_file, read_tokenizer
from p2bot_parlai.method.model_files import read_sentence_tokenizer as read_encoder_tokenizer
from p2bot_parlai.method.tokenizers import P2botTokenizer, SentenceTokenizer
from p2bot_parlai.tools.original.reading import Weights, read_weights
from p2bot_parlai.tools.original.receiver import to_receiver, without_separator
from p2bot_parlai.tools.original.transmitter import to_transmitter

HEAD_SIZE = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model, tiny_receiver):
    path = tmp_path_factory.mktemp("models")
    for name, source in (("model", tiny_model), ("receiver", tiny_receiver)):
        for ending in ("", ".opt", ".dict"):
            shutil.copy(f"{source}{ending}", path / f"{name}{ending}")
    return path


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Released files of both kinds, and the vocabularies that they go with."""
    path = tmp_path_factory.mktemp("originals")
    gpt, bert = write_vocabulary(path / "gpt"), write_bert_vocabulary(path / "bert")
    states = {"transmitter": Reference(gpt).states(), "receiver": bert_states(a_bert(bert))}
    for name, weights in states.items():
        write_file(path / name, weights)
    return path, states


def bytes_of(value, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


SMALL = {"model": {"w": torch.zeros(2, 2)}, "p2bot": {"format": 1, "options": {}}}
CONTAINERS = [bytes_of(SMALL), bytes_of(SMALL, zipped=False)]
CHANGED = st.sampled_from(CONTAINERS).flatmap(fuzzing.damaged)
ANY_BYTES = st.one_of(CHANGED, CHANGED, st.binary(max_size=60), st.sampled_from(CONTAINERS))


# ------------------------------------------------------------------------------- bytes
def any_bytes(test):
    """A property of whatever a file may hold; the beginnings of its two forms among it."""
    for content in (b"", b"PK\x03\x04", b"\x80\x02."):
        test = example(content)(test)
    return cases(80)(given(ANY_BYTES)(test))


@any_bytes
def test_bytes_are_a_model_or_refused(folder, content):
    path = folder / "any"
    path.write_bytes(content)
    states, refused = outcome(read_model_file, str(path))
    assert refused and str(path) in refused or isinstance(states["p2bot"], dict)


@any_bytes
def test_bytes_are_an_original_or_refused(folder, content):
    path = folder / "any"
    path.write_bytes(content)
    weights, refused = outcome(read_weights, str(path), "--transmitter")
    if refused:
        assert refused.startswith(f"p2bot: error: --transmitter {path}")
    else:
        assert all(value.device.type == "cpu" for value in weights.values())


# ------------------------------------------------------------------- weights of originals
TENSORS = st.one_of(
    st.lists(st.integers(0, 3), max_size=4).map(lambda shape: torch.zeros(shape)),
    st.sampled_from(
        (
            torch.tensor([2]),
            torch.zeros(2, 2, dtype=torch.int8),
            torch.zeros(2, 2).to_sparse(),
            torch.zeros(2, 2, dtype=torch.float64) / 0,
            torch.zeros(1, 1).expand(50, 16),
        )
    ),
)


@st.composite
def changed_weights(draw, weights: dict) -> dict:
    """One tensor gone, of another shape or kind, or of another name."""
    found = dict(weights)
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(weights)))
        kind = draw(st.sampled_from(("gone", "other", "cut", "renamed", "added")))
        if kind == "gone":
            found.pop(name, None)
        elif kind == "other":
            found[name] = draw(TENSORS)
        elif kind == "cut" and name in found and found[name].dim() and not found[name].is_sparse:
            found[name] = found[name][: draw(st.integers(0, 2))].clone()
        elif kind == "renamed" and name in found:
            cut = draw(st.integers(1, 8))
            found[name[:-cut]] = found.pop(name)
        else:
            stems = ("transformer_module.transformer.h.", "sent_encoder.bert_model.encoder.layer.")
            found[draw(st.sampled_from(stems)) + draw(st.sampled_from(("", "x", "9.x", ".")))] = (
                draw(TENSORS)
            )
    return found


@cases(30, share=0.02)
@given(st.data(), st.sampled_from((HEAD_SIZE, HEAD_SIZE, 0, -1, 3, 16)))
def test_an_original_transmitter_is_imported_or_refused(originals, data, head_size):
    path, states = originals
    tokens = P2botTokenizer.from_pretrained(str(path / "gpt"), ORIGINAL)
    weights = data.draw(changed_weights(states["transmitter"]))
    network, refused = imported(path, "transmitter", weights, lambda found: to_transmitter(
        found, tokens, head_size))  # fmt: skip
    assert refused or network.backbone.config.vocab_size == len(tokens)


@cases(30, share=0.02)
@given(st.data(), st.sampled_from((HEAD_SIZE, HEAD_SIZE, 0, -1, 3, 16)))
def test_an_original_receiver_is_imported_or_refused(originals, data, head_size):
    path, states = originals
    tokens = without_separator(SentenceTokenizer.from_pretrained(str(path / "bert")))
    weights = data.draw(changed_weights(states["receiver"]))
    network, refused = imported(path, "receiver", weights, lambda found: to_receiver(
        found, tokens, head_size))  # fmt: skip
    assert refused or network.width == 16


def imported(path, name, weights, convert):
    torch.save({"model": weights}, path / "changed")
    found, refused = outcome(read_weights, str(path / "changed"), f"--{name}")
    if refused:
        return None, refused
    return outcome(lambda: convert(Weights(found, f"--{name} changed")))


# ----------------------------------------------------------------- descriptions of models
def altered(about: dict):
    """No network of any size that this machine would try to build."""
    return fuzzing.altered(about).filter(
        lambda found: not any(size > 10_000 for size in whole_numbers(found))
    )


def whole_numbers(value) -> list[int]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for part in inner for number in whole_numbers(part)]
    return [value] if isinstance(value, int) else []


@cases(20, share=0.01)
@given(st.data())
def test_a_model_that_was_changed_loads_or_is_refused(folder, tiny_model, data):
    states = torch.load(tiny_model, weights_only=True)
    states = {name: states[name] for name in ("model", "p2bot")}
    changed = {**states, "p2bot": data.draw(altered(states["p2bot"]))}
    if data.draw(st.integers(0, 4)) == 0:
        changed["model"] = data.draw(st.one_of(fuzzing.VALUES, st.just({})))
    torch.save(changed, folder / "model")
    agent, refused = outcome(create_agent_from_model_file, str(folder / "model"), {
        "loglevel": "error"})  # fmt: skip
    assert refused or agent.network


@cases(20, share=0.01)
@given(st.data())
def test_a_receiver_that_was_changed_loads_or_is_refused(folder, tiny_receiver, data):
    states = torch.load(tiny_receiver, weights_only=True)
    states = {name: states[name] for name in ("model", "p2bot")}
    changed = {**states, "p2bot": data.draw(altered(states["p2bot"]))}
    torch.save(changed, folder / "receiver")
    perceiver, refused = outcome(load_perceiver, str(folder / "receiver"))
    assert refused or perceiver.relevance(["hello"], ["i eat soup."]).shape == (1, 1)


# ---------------------------------------------------------------------------- dictionaries
@cases(20, share=0.1)
@given(st.data())
@example(None)
def test_a_dictionary_is_read_or_refused(folder, data):
    for name, read in (("model", read_tokenizer), ("receiver", read_encoder_tokenizer)):
        sound = json.loads(Path(folder / f"{name}.dict").read_text(encoding="utf-8"))
        vocabulary = sound["tokenizer"]["model"]["vocab"]
        sound["tokenizer"]["model"]["vocab"] = dict(list(vocabulary.items())[:300])
        sound["tokenizer"]["model"]["merges"] = []
        if data is None:
            content = json.dumps({"format": sound["format"]}).encode()
        else:
            content = data.draw(fuzzing.json_files(sound))
        path = folder / "any.dict"
        path.write_bytes(content)
        tokenizer, refused = outcome(read, str(path))
        assert refused or len(tokenizer) > 0
