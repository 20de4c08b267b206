"""Any causal language model of Hugging Face transformers as a backbone."""

import logging
import os
import pickle
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import Cache, modeling_layers

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import agreement, attention
from p2bot_parlai.method.backbones.names import ALIASES, SCRATCH, SKETCH
from p2bot_parlai.method.backbones.packaged import ENCODERS, LANGUAGE_MODELS
from p2bot_parlai.method.backbones.precision import Computing
from p2bot_parlai.method.kv_cache import growing_cache

# likeness from which a hub name is taken for a misspelt preset, without asking the hub: "smollm",
# not "gpt2-xl" or "distilgpt2"
ALIKE = 0.8
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
    presets = (*OFFLINE_BACKBONES, *ALIASES, *ENCODERS)
    near = get_close_matches(name, presets, 1, ALIKE)
    if near and not os.path.isdir(name):
        raise P2botError(f"there is no preset or folder {name}: did you mean {near[0]}?")
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
        raise P2botError(
            f"cannot get {name!r} from the Hugging Face hub ({reason}). Check the name and the "
            "network; without network use a folder, --backbone "
            f"{' or '.join(OFFLINE_BACKBONES)}, or --encoder {' or '.join([SCRATCH, *ENCODERS])}"
        ) from error


def fetch_weights(name: str, auto_class: str, used: Callable[[Any], nn.Module], **more: Any) -> Any:
    """
    A pretrained model, in float32, if its files hold all that is used and have a place for all
    that they hold.

    :param used: model -> the network that is kept of it, which is returned.
    :raises P2botError: for weights that would stay random, or that the model would ignore.
    """
    more = {"dtype": torch.float32, "output_loading_info": True, **more}
    if "attn_implementation" in more:
        model, report = fetch(name, auto_class, **more)
    else:
        model, report = _attentive(
            lambda how: fetch(name, auto_class, attn_implementation=how, **more), auto_class
        )
    given = model.state_dict(keep_vars=True)
    random = {id(given[key]) for key in report["missing_keys"] if key in given}
    # what is no part of the network is the head of another task
    parts = {part for part, _ in [*model.named_children(), *model.base_model.named_children()]}
    extra = [
        key
        for key in report["unexpected_keys"]
        if key.removeprefix(f"{model.base_model_prefix}.").split(".")[0] in parts
    ]
    network = used(model)
    lacking = [
        key for key, weight in network.state_dict(keep_vars=True).items() if id(weight) in random
    ]
    for keys, what in (
        (lacking, "lacks weights"),
        (extra, "holds weights that it has no place for"),
    ):
        if keys:
            raise P2botError(
                f"{name} {what} ({len(keys)}: {min(keys)} ..): it is another kind of model than "
                "its config.json says, or incomplete"
            )
    return network


def _attentive(make: Callable[[str], Any], auto_class: str) -> Any:
    """
    :param make: from the name of an implementation of attention. It is always named: a
        configuration may name a kernel on the hub, which is code.
    """
    try:
        return make("sdpa")
    except (ValueError, P2botError) as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        if auto_class == "AutoModel":
            return make("eager")
        # eager attention adds its mask to the scores: ours, of true and false, means nothing there
        family = str(error.__cause__ or error).split()[0]
        raise P2botError(
            f"{family} has no sdpa attention in transformers {transformers.__version__}, which "
            "explicit masks need, so it cannot be a backbone"
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
        model = _attentive(
            lambda how: kind.from_config(built, attn_implementation=how, trust_remote_code=False),
            auto_class,
        )
    except P2botError:
        raise
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


def marked_layers(model: Any) -> list[nn.Module]:
    """
    The blocks of a model, which transformers marks. Its own gradient checkpointing silently drops
    caches, and does nothing in evaluation mode, in which self-play learns.

    :raises P2botError: for families without marks.
    """
    kind = modeling_layers.GradientCheckpointingLayer
    found: list[nn.Module] = [m for m in model.modules() if isinstance(m, kind)]
    if not found:
        raise P2botError(
            f"models of type {model.config.model_type!r} do not mark their layers, which --adapter "
            "and --gradient-checkpointing need: leave them out, or choose another model"
        )
    return found


class CausalLM(Computing):
    """
    An AutoModelForCausalLM behind the interface of `p2bot_parlai.method.backbones`.

    :raises P2botError: for families that compute something else under explicit positions,
        masks and caches than plainly (`agreement`).
    """

    lm: Any  # transformers' classes have no common type

    def __init__(self, lm: nn.Module):
        super().__init__()
        self.lm = lm
        if self.lm._can_set_attn_implementation():  # not a family with attention of its own
            self.lm.set_attn_implementation(attention.NAME)
        self.reads(agreement.SHORT)

    @classmethod
    def from_pretrained(cls, name: str) -> "CausalLM":
        return cls(fetch_weights(name, "AutoModelForCausalLM", used=lambda lm: lm))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CausalLM":
        return cls(build(data, "AutoModelForCausalLM"))

    def forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None = None
    ) -> Tensor:
        """See `p2bot_parlai.method.backbones`; mask is bool (B, T, S)."""
        with self.autocast(ids.device), self.recomputing(cache):
            hidden = agreement.hidden_states(self.lm, ids, positions, mask, cache)
        return hidden.float()

    def layers(self) -> list[nn.Module]:
        return marked_layers(self.lm)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        with self.autocast(hidden.device):
            return self.lm.get_output_embeddings()(hidden).float()

    def new_cache(self) -> Cache:
        return growing_cache()

    @property
    def hidden_size(self) -> int:
        """That of the output layer's input: some families project to it."""
        return self.lm.get_output_embeddings().weight.shape[-1]

    @property
    def max_positions(self) -> int | None:
        """Longest sequence in tokens; None if the family's configuration has no limit."""
        return getattr(self.lm.config.get_text_config(), "max_position_embeddings", None)

    def reads(self, length: int) -> int:
        """
        Up to how many of ``length`` tokens it reads as ours means: a sliding window, which our
        masks do not have, or its positions may end before.
        """
        length = min(length, self.max_positions or length)
        return min(length, agreement.longest(self.lm, length))

    @property
    def dropout(self) -> float:
        """For the [CLS] head: the largest of the model's own; 0 without dropout of states."""
        return max((m.p for m in self.lm.modules() if isinstance(m, nn.Dropout)), default=0.0)

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

    @property
    def vocabulary(self) -> int:
        """Entries of the output matrix."""
        return self.lm.get_output_embeddings().weight.shape[0]

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
