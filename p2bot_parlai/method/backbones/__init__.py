"""
Language models that a Transmitter can stand on.

A `Backbone` is a `torch.nn.Module` with

- ``forward(ids, positions, mask, cache=None)`` -> hidden states (B, T, D): ``ids`` and
  ``positions`` are (B, T), ``mask`` is a bool (B, T, S) of the S = past + T keys that each
  token sees, ``cache`` a ``transformers`` Cache that is extended in place;
- ``logits(hidden)`` -> (..., V); ``resize(size)``; ``new_cache()``;
- ``hidden_size``, ``max_positions`` (None: unbounded), ``dropout``, ``to_json()``;
- ``reads(length)`` -> up to how many of ``length`` tokens it reads rightly;
- ``start_token``, the id that begins a text, or None.

Positions and masks are always explicit: padding may be anywhere, and branches of one context
can be laid out in any order.
"""

from collections.abc import Mapping
from typing import Any

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import hub, induction, packaged
from p2bot_parlai.method.backbones.gpt import GPT, GPTConfig
from p2bot_parlai.method.backbones.names import ALIASES, SCRATCH

Backbone = GPT | hub.CausalLM


def backbone_path(name: str) -> str:
    """The hub name or folder of a ``--backbone``, which may be a preset."""
    if name in packaged.LANGUAGE_MODELS:
        return packaged.folder_of(name)
    return ALIASES.get(name, name)


def load_backbone(name: str) -> Backbone:
    """
    A pretrained backbone.

    :param name: a preset, a hub name, or a folder in Hugging Face form. GPT (of 2018)
        gets our own implementation, everything else transformers'.
    :raises P2botError: if it cannot be loaded; the message says what to do.
    """
    path = backbone_path(name)
    config = hub.fetch(path, "AutoConfig")
    if config.model_type == "openai-gpt":
        # transformers has no other attention for it
        given = {"config": config, "attn_implementation": "eager"}
        return GPT.from_hugging_face(
            hub.fetch_weights(path, "AutoModel", used=lambda lm: lm, **given)
        )
    return hub.CausalLM.from_pretrained(path)


def build_untrained(name: str, vocab_size: int, opt: Mapping[str, Any]) -> Backbone:
    """
    A backbone with random weights, of the sizes in ``opt``.

    :param name: ``scratch``, the paper's GPT; or ``sketch``, a Llama (rotary positions, norm
        before each layer) that can find and copy from the start (`induction`), so that it
        learns to use its persona within minutes.
    """
    if name == SCRATCH:
        return GPT(
            GPTConfig(
                vocab_size=vocab_size,
                n_positions=opt["n_positions"],
                n_embd=opt["embedding_size"],
                n_layer=opt["n_layers"],
                n_head=opt["n_heads"],
                dropout=opt["dropout"],
            )
        )
    backbone = hub.CausalLM.from_json(
        {
            "model_type": "llama",
            "vocab_size": vocab_size,
            "hidden_size": opt["embedding_size"],
            "intermediate_size": 3 * opt["embedding_size"],
            "num_hidden_layers": opt["n_layers"],
            "num_attention_heads": opt["n_heads"],
            "num_key_value_heads": opt["n_heads"],
            "max_position_embeddings": opt["n_positions"],
            "initializer_range": 0.05,
            "rope_parameters": {"rope_type": "default", "rope_theta": induction.ROPE_THETA},
            "attention_bias": True,
            "attention_dropout": opt["dropout"],
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": None,
        }
    )
    induction.lay_out_induction_heads(backbone.lm)
    return backbone


def from_json(data: dict[str, Any]) -> Backbone:
    """Rebuild a backbone, with fresh weights, from its ``to_json()``: works offline."""
    data = dict(data)
    kind = data.pop("kind", None)
    if kind == "gpt":
        try:
            return GPT(GPTConfig(**data))
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise P2botError(f"the saved backbone cannot be built: {error}") from error
    if kind == "hub" and isinstance(data.get("config"), dict):
        return hub.CausalLM.from_json(data["config"])
    raise P2botError(f"the saved backbone is of an unknown kind: {kind!r}")
