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
@cases(80)
@given(ANY_BYTES)
@example(b"")
@example(b"PK\x03\x04")
@example(b"\x80\x02.")
def test_bytes_are_a_model_or_refused(folder, content):
    path = folder / "any"
    path.write_bytes(content)
    states, refused = outcome(read_model_file, str(path))
    assert refused and str(path) in refused or isinstance(states["p2bot"], dict)
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


@pytest.mark.parametrize("name", ["transmitter", "receiver"])
@cases(30, share=0.02)
@given(data=st.data(), head_size=st.sampled_from((8, 8, 0, -1, 3, 16)))
def test_an_original_is_imported_or_refused(originals, name, data, head_size):
    path, states = originals
    if name == "transmitter":
        tokens = P2botTokenizer.from_pretrained(str(path / "gpt"), ORIGINAL)
        convert = to_transmitter
    else:
        tokens = without_separator(SentenceTokenizer.from_pretrained(str(path / "bert")))
        convert = to_receiver
    torch.save({"model": data.draw(changed_weights(states[name]))}, path / "changed")
    weights, refused = outcome(read_weights, str(path / "changed"), f"--{name}")
    if not refused:
        network, refused = outcome(convert, Weights(weights, "--file changed"), tokens, head_size)
        assert refused or len(network.state_dict())


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


@pytest.mark.parametrize("name", ["model", "receiver"])
@cases(20, share=0.01)
@given(data=st.data())
def test_a_changed_model_loads_or_is_refused(folder, tiny_model, tiny_receiver, name, data):
    states = torch.load({"model": tiny_model, "receiver": tiny_receiver}[name], weights_only=True)
    changed = {"model": states["model"], "p2bot": data.draw(altered(states["p2bot"]))}
    if data.draw(st.integers(0, 4)) == 0:
        changed["model"] = data.draw(st.one_of(fuzzing.VALUES, st.just({})))
    path = str(folder / name)
    torch.save(changed, path)
    if name == "model":
        agent, refused = outcome(create_agent_from_model_file, path, {"loglevel": "error"})
        assert refused or agent.network
    else:
        perceiver, refused = outcome(load_perceiver, path)
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
