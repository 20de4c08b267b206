"""Any causal language model of Hugging Face transformers as a backbone."""

import logging
import os
import pickle
from difflib import get_close_matches
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import Cache, modeling_layers

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.names import ALIASES, SCRATCH, SKETCH
from p2bot_parlai.method.backbones.packaged import ENCODERS, LANGUAGE_MODELS
from p2bot_parlai.method.backbones.precision import Computing
from p2bot_parlai.method.kv_cache import growing_cache

OFFLINE_BACKBONES = (SCRATCH, SKETCH, *LANGUAGE_MODELS)

# raised by transformers, torch, safetensors and tokenizers for unreadable files
LOADING_ERRORS = (
    *(OSError, ValueError, ImportError, KeyError, TypeError, AttributeError, RuntimeError),
    *(EOFError, pickle.UnpicklingError, SafetensorError),
)


def fetch(name: str, auto_class: str, **kwargs: Any) -> Any:
    """
    ``transformers.<auto_class>.from_pretrained(name)`` with errors that say what to do.

    Python code in a model (``auto_map``) is not run; transformers reads .bin files with
    ``weights_only``.

    :param name: hub name or folder.
    :param auto_class: e.g. ``AutoConfig``, ``AutoModelForCausalLM``.
    """
    try:
        kind = getattr(transformers, auto_class)
        return kind.from_pretrained(name, trust_remote_code=False, **kwargs)
    except LOADING_ERRORS as error:
        reason = str(error).strip().split("\n")[0]
        if "trust_remote_code" in str(error):
            raise P2botError(
                f"{name} comes with Python code (auto_map), which is never run: choose a model of "
                "a family that transformers supports"
            ) from error
        if isinstance(error, pickle.UnpicklingError):
            reason = "its weights are damaged, or hold Python objects that would run code"
        if os.path.isdir(name):
            raise P2botError(f"cannot load {name}: {reason}") from error
        near = get_close_matches(name, (*OFFLINE_BACKBONES, *ALIASES, *ENCODERS), 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise P2botError(
            f"cannot get {name!r} from the Hugging Face hub ({reason}).{meant} Check the name and "
            "the network; without network use a folder, --backbone "
            f"{' or '.join(OFFLINE_BACKBONES)}, or --encoder {' or '.join([SCRATCH, *ENCODERS])}"
        ) from error


def build(config: dict[str, Any], auto_class: str) -> nn.Module:
    """
    A model of transformers with fresh weights, in float32, from a saved configuration.

    :raises P2botError: for a family that this transformers does not have.
    """
    config = without_code(config)
    try:
        built = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
        kind = getattr(transformers, auto_class)
        model = kind.from_config(built, attn_implementation="sdpa", trust_remote_code=False)
    except (*LOADING_ERRORS, ArithmeticError, StrictDataclassError) as error:
        raise P2botError(f"this transformers cannot build the saved model: {error}") from error
    return model.float()


def without_code(config: Any) -> Any:
    """
    The same configuration without entries that may name code: ``auto_map``, and private ones
    (``_attn_implementation`` may be a kernel on the hub).
    """
    if isinstance(config, dict):
        # labels have numbers for keys
        kept = {k: v for k, v in config.items() if k != "auto_map" and str(k)[:1] != "_"}
        return {key: without_code(value) for key, value in kept.items()}
    if isinstance(config, list):
        return [without_code(value) for value in config]
    return config


class CausalLM(Computing):
    """
    An AutoModelForCausalLM behind the interface of `p2bot_parlai.method.backbones`.

    :raises P2botError: for models whose logits are not a linear function of the last hidden
        state under the given mask and positions (checked on two tokens).
    """

    lm: Any  # transformers' classes have no common type

    def __init__(self, lm: nn.Module):
        super().__init__()
        self.lm = lm
        self._check()

    @classmethod
    def from_pretrained(cls, name: str) -> "CausalLM":
        lm = fetch(name, "AutoModelForCausalLM", attn_implementation="sdpa", dtype=torch.float32)
        return cls(lm)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CausalLM":
        return cls(build(data, "AutoModelForCausalLM"))

    def forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None = None
    ) -> Tensor:
        """See `p2bot_parlai.method.backbones`; mask is bool (B, T, S)."""
        with self.autocast(ids.device), self.recomputing(cache):
            hidden = self.lm.base_model(
                input_ids=ids,
                position_ids=positions,
                attention_mask=mask[:, None],
                past_key_values=cache,
                use_cache=cache is not None,
            ).last_hidden_state
        return hidden.float()

    def layers(self) -> list[nn.Module]:
        """
        Those that transformers marks. Its own gradient checkpointing silently drops caches,
        and does nothing in evaluation mode, in which self-play learns.
        """
        kind = modeling_layers.GradientCheckpointingLayer
        found: list[nn.Module] = [m for m in self.lm.modules() if isinstance(m, kind)]
        if not found:
            raise P2botError(
                f"models of type {self.lm.config.model_type!r} have no layers that can be computed "
                "again: drop --gradient-checkpointing"
            )
        return found

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        with self.autocast(hidden.device):
            return self.lm.get_output_embeddings()(hidden).float()

    def new_cache(self) -> Cache:
        # without the model's config: sliding windows would drop what our explicit mask counts
        return growing_cache()

    @property
    def hidden_size(self) -> int:
        return self.lm.config.get_text_config().hidden_size

    @property
    def max_positions(self) -> int | None:
        """Longest sequence in tokens; None if the family's configuration has no limit."""
        return getattr(self.lm.config.get_text_config(), "max_position_embeddings", None)

    @property
    def dropout(self) -> float:
        """For the [CLS] head; 0 for families without ``resid_pdrop``."""
        return getattr(self.lm.config, "resid_pdrop", 0.0)

    @property
    def start_token(self) -> int | None:
        """What begins a text, if the family has such a token."""
        return self.lm.config.get_text_config().bos_token_id

    def resize(self, size: int) -> None:
        """Grow the vocabulary; a larger (padded) one stays."""
        if size > self.lm.get_input_embeddings().num_embeddings:
            level = logging.getLogger("transformers").level
            logging.getLogger("transformers").setLevel(logging.ERROR)
            self.lm.resize_token_embeddings(size)
            logging.getLogger("transformers").setLevel(level)

    def token_modules(self) -> tuple[nn.Module, nn.Module]:
        """The token embedding and the output matrix."""
        return self.lm.get_input_embeddings(), self.lm.get_output_embeddings()

    def set_token_modules(self, embedding: nn.Module, head: nn.Module) -> None:
        self.lm.set_input_embeddings(embedding)
        self.lm.set_output_embeddings(head)

    def to_json(self) -> dict[str, Any]:
        config = self.lm.config.to_dict()
        config = {k: v for k, v in config.items() if not k.startswith("_")}
        return {"kind": "hub", "config": config}

    @torch.no_grad()
    def _check(self) -> None:
        """Two tokens through transformers' own path and ours must give the same logits."""
        kind = self.lm.config.model_type
        was_training = self.lm.training
        self.lm.eval()
        ids = torch.tensor([[1, 2]], device=self.lm.device)
        positions = torch.arange(2, device=ids.device)[None]
        mask = torch.ones(1, 2, 2, dtype=torch.bool, device=ids.device).tril()
        try:
            cache = self.new_cache()
            first = self(ids[:, :1], positions[:, :1], mask[:, :1, :1], cache)
            second = self(ids[:, 1:], positions[:, 1:], mask[:, 1:], cache)
            ours = self.logits(torch.cat([first, second], dim=1))
        except (TypeError, AttributeError, RuntimeError, ValueError) as error:
            raise P2botError(
                f"models of type {kind!r} do not take explicit positions, masks and caches, so "
                f"they cannot be a backbone ({error})"
            ) from error
        if not torch.allclose(ours, self.lm(ids, use_cache=False).logits, atol=1e-3, rtol=1e-3):
            raise P2botError(
                f"models of type {kind!r} change their logits after the output layer, or see "
                "other keys than the mask says; they cannot be a backbone"
            )
        self.lm.train(was_training)
