"""A file's description cannot ask for more than its weights fill, whatever the family."""

import pytest
import torch
import transformers

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones import encoder as encoders
from p2bot_parlai.method.backbones.gpt import GPT, GPTConfig
from p2bot_parlai.method.backbones.hub import CausalLM

FAMILIES = {
    "gpt2": transformers.GPT2Config(
        vocab_size=50, n_positions=1024, n_embd=32, n_layer=2, n_head=4, bos_token_id=1
    ),
    "llama": transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        tie_word_embeddings=True,
    ),
}


def language_model(name: str):
    if name == "gpt":
        return GPT(GPTConfig(vocab_size=50, n_positions=64, n_embd=32, n_layer=2, n_head=4))
    return CausalLM(transformers.AutoModelForCausalLM.from_config(FAMILIES[name]))


def altered(data: dict, name: str, value: int) -> dict:
    if "config" in data:
        return {**data, "config": {**data["config"], name: value}}
    return {**data, name: value}


@pytest.mark.parametrize("family", ["gpt", *FAMILIES])
def test_a_saved_model_is_built_as_before(family):
    saved = language_model(family)
    built = backbones.from_json(saved.to_json(), saved.state_dict())
    built.load_state_dict(saved.state_dict())
    assert {p.device.type for p in built.parameters()} == {"cpu"}
    assert {b.device.type for b in built.buffers()} <= {"cpu"}


@pytest.mark.parametrize(
    ("family", "name", "value"),
    [
        ("gpt", "n_layer", 10**7),
        ("gpt", "n_embd", 10**6),
        ("gpt", "n_positions", 10**12),
        ("gpt2", "n_layer", 10**7),
        ("gpt2", "n_positions", 10**8),
        ("llama", "num_hidden_layers", 10**7),
        ("llama", "vocab_size", 10**10),
        ("llama", "intermediate_size", 10**9),
    ],
)
def test_a_larger_one_is_refused_before_anything_is_allocated(family, name, value):
    saved = language_model(family)
    with pytest.raises(P2botError, match="far larger than its weights"):
        backbones.from_json(altered(saved.to_json(), name, value), saved.state_dict())


@pytest.mark.parametrize("name", ["num_hidden_layers", "vocab_size", "max_position_embeddings"])
def test_so_is_a_larger_encoder(name):
    saved = encoders.random_encoder(50, 32, 2, 4, 0.0)
    encoders.from_json(saved.to_json(), saved.state_dict())
    with pytest.raises(P2botError, match="far larger than its weights"):
        encoders.from_json({**saved.to_json(), name: 10**8}, saved.state_dict())


def test_what_the_user_describes_is_not_limited():
    saved = language_model("gpt")
    larger = backbones.from_json(altered(saved.to_json(), "n_embd", 512))
    assert larger.hidden_size == 512


def test_networks_are_no_longer_counted_afterwards():
    saved = language_model("gpt")
    with pytest.raises(P2botError):
        backbones.from_json(altered(saved.to_json(), "n_embd", 10**6), saved.state_dict())
    assert torch.nn.Linear(2000, 2000).weight.device.type == "cpu"
    torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(3000))
