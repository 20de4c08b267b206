"""
Language models that a Transmitter can stand on.

A `Backbone` is a `torch.nn.Module` with

- ``forward(ids, positions, mask, cache=None)`` -> hidden states (B, T, D): ``ids`` and
  ``positions`` are (B, T), ``mask`` is a bool (B, T, S) of the S = past + T keys that each
  token sees, ``cache`` a ``transformers`` Cache that is extended in place;
- ``logits(hidden)`` -> (..., V); ``resize(size)``; ``new_cache()``;
- ``reads(length)``, up to how many of so many tokens it reads; ``freeze()``; ``vocabulary``;
- ``token_modules()``, ``names`` and ``merged()``, for adapters (`adapted`);
- ``hidden_size``, ``max_positions`` (None: unbounded), ``dropout``, ``to_json()``;
- ``reads(length)`` -> up to how many of ``length`` tokens it reads rightly;
- ``start_token``, the id that begins a text, or None.

Positions and masks are always explicit: padding may be anywhere, and branches of one context
can be laid out in any order.
"""

from collections.abc import Mapping
from typing import Any

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import hub, induction
from p2bot_parlai.method.backbones.gpt import GPT, GPTConfig
from p2bot_parlai.method.backbones.loading import Backbone, backbone_path, load_backbone
from p2bot_parlai.method.backbones.names import SCRATCH

__all__ = ["Backbone", "backbone_path", "build_untrained", "from_json", "load_backbone"]


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


def from_json(data: dict[str, Any], like: Any = None) -> Any:
    """
    Rebuild a backbone, with fresh weights, from its ``to_json()``: works offline.

    :param like: another backbone, whose base it shares where both are adapters of the same.
    """
    data = dict(data)
    kind = data.pop("kind", None)
    if kind == "gpt":
        try:
            return GPT(GPTConfig(**data))
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise P2botError(f"the saved backbone cannot be built: {error}") from error
    if kind == "hub" and isinstance(data.get("config"), dict):
        return hub.CausalLM.from_json(data["config"])
    if kind == "adapted":
        from p2bot_parlai.method.backbones import adapted  # peft is an extra

        return adapted.from_json(load_backbone, data, like)
    raise P2botError(f"the saved backbone is of an unknown kind: {kind!r}")
