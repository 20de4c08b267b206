"""
Reading model files, safely: no code in them is run, and errors say what is wrong.

A model is three files: weights and description (``model``), tokenizer (``model.dict``) and
ParlAI's options (``model.opt``, not read here). Those that ship with the package are packed:
``model.safetensors`` in half precision, ``model.opt``, and ``model.dict`` where the tokenizer does
not come with pretrained weights.
"""

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import nn

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones import encoder as encoders
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.receiver import Receiver, build_receiver
from p2bot_parlai.method.spelling import CorpusSpelling, are_counts
from p2bot_parlai.method.tokenizers import BaseTokenizer, P2botTokenizer, SentenceTokenizer
from p2bot_parlai.method.transmitter import Transmitter

FORMAT = 1
PACKED = ".safetensors"  # ends the name of a packed model
AnyTokenizer = TypeVar("AnyTokenizer", bound=BaseTokenizer)
MIN_TOKENS = 3  # of a sentence that an encoder reads


# ----------------------------------------------------------------------- any model file
def read_model_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """
    The states that an agent of ours saved: weights (``model``) and description (``p2bot``).

    Read with ``weights_only``: tensors and plain data; code in the file is not run.

    :param path: a model file, or a packed one.
    :raises P2botError: for a file that is unreadable, truncated, of another kind, or unsafe.
    """
    try:
        name = os.fspath(path)
        states = _unpacked(name) if name.endswith(PACKED) else _loaded(name)
    except OSError as error:
        raise P2botError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as bad:  # damaged pickles end in every kind of exception
        raise P2botError(
            f"cannot load {path}: {_reason(str(bad))}. Use another copy, or its .checkpoint, or "
            "train again"
        ) from bad
    about = states.get("p2bot") if isinstance(states, dict) else None
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise P2botError(
            f"{path} was not saved by an agent of p2bot_parlai; check --model-file / --init-model"
        )
    told = [about.get(name, {}) for name in ("run", "provenance")]
    if not _is_state_dict(states.get("model")) or not all(isinstance(x, dict) for x in told):
        raise P2botError(f"cannot load {path}: it holds no weights. Use another copy")
    if about["format"] > FORMAT:
        raise P2botError(f"{path} is of a newer p2bot_parlai; upgrade to load it")
    return states


def _loaded(path: str) -> Any:
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd formats: our error says enough
        return torch.load(file, map_location="cpu", weights_only=True)


def _unpacked(path: str) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["p2bot"])
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    if below := about.pop("below", None):  # adapters that this one's stand on
        weights = {**_unpacked(str(Path(path).with_name(below)))["model"], **weights}
    if about.get("kind") == "receiver" and about["options"]["share_encoders"]:
        # packed once; a model file has the one encoder under both names
        weights |= {
            name.replace("impression.", "persona.", 1): tensor for name, tensor in weights.items()
        }
    return {"model": weights, "p2bot": {**about, "run": {}}}


def check_description(
    states: dict[str, Any], path: str, **kinds: type | tuple[type, ...]
) -> dict[str, Any]:
    """
    The description in a model file.

    :param kinds: the entries it must have, and their types.
    :raises P2botError: if an entry is missing or invalid.
    """
    about = states["p2bot"]
    for name, kind in kinds.items():
        if not isinstance(about.get(name), kind):
            raise P2botError(
                f"{path} does not say its {name}: it is damaged, or of an earlier p2bot_parlai. "
                "Use another copy, or train again"
            )
    tau, tokens = about.get("tau", 1), about.get("text_truncate", MIN_TOKENS)
    if not 0 < tau < math.inf or not tokens >= MIN_TOKENS:
        raise P2botError(f"{path} is damaged: tau {tau}, text_truncate {tokens}. Use another copy")
    if not are_counts(about.get("spelling", {})):
        raise P2botError(f"{path} is damaged: its spelling is no count. Use another copy")
    return about


def check_calibration(about: dict[str, Any], path: str) -> None:
    """:raises P2botError: for a calibration that is not two finite numbers, where there is one."""
    found = about.get("calibration", ())
    numbers = isinstance(found, list | tuple) and all(type(x) in (int, float) for x in found)
    if not numbers or len(found) not in (0, 2) or not all(map(math.isfinite, found)):
        raise P2botError(f"{path} is damaged: its calibration is {found}. Use another copy")


def _is_state_dict(weights: Any) -> bool:
    return isinstance(weights, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    )


def _reason(torch_says: str) -> str:
    said = torch_says.lower()
    if "weights_only" in said and any(word in said for word in ("unsupported", "torchscript")):
        return "it holds Python objects that would run code, and is refused"
    return "it is damaged or was not written to its end"


def load_weights(network: nn.Module, states: dict[str, Any], path: str) -> None:
    """:raises P2botError: if the weights of a model file do not fit the network."""
    try:
        network.load_state_dict(states["model"])
    except RuntimeError as error:
        raise P2botError(
            f"the weights in {path} do not fit its description; the file, or the .dict beside "
            f"it, was changed ({str(error).splitlines()[-1].strip()})"
        ) from error


# -------------------------------------------------------------------------- tokenizers
def read_tokenizer(path: str) -> P2botTokenizer:
    """The ``.dict`` of a Transmitter. :raises P2botError: for a file that is none."""
    return _read_dict(path, P2botTokenizer, "P²Bot")


def read_sentence_tokenizer(path: str) -> SentenceTokenizer:
    """The ``.dict`` of a Receiver or an entailment classifier, likewise."""
    return _read_dict(path, SentenceTokenizer, "a Receiver")


def _read_dict(path: str, kind: type[AnyTokenizer], whose: str) -> AnyTokenizer:
    try:
        with open(path, "rb") as file:
            data = json.load(file)
        if data["format"] != kind.FORMAT:
            raise KeyError(kind.FORMAT)
        return kind.from_contents(data)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise P2botError(
            f"{path} is not a tokenizer of {whose}: it is missing, damaged or belongs to another "
            "kind of model; choose another --model-file or --dict-file"
        ) from error


def dict_file(path: str) -> str:
    """The ``.dict`` beside a model file."""
    return f"{path.removesuffix(PACKED)}.dict"


def check_tokenizer(
    states: dict[str, Any], path: str, tokenizer: BaseTokenizer, whose: str
) -> None:
    """
    :param path: of the model file. :param whose: tokenizer it is, in the message.
    :raises P2botError: if the weights were trained with another one.
    """
    if states["p2bot"]["tokenizer"] != tokenizer.fingerprint():
        raise P2botError(
            f"{path} was trained with another tokenizer than {whose}: use a model file and a "
            ".dict that were saved together"
        )


# ------------------------------------------------------------------------ frozen models
def read_transmitter_file(path: str) -> dict[str, Any]:
    """:raises P2botError: for a file that is missing, damaged, or of another agent."""
    states = read_model_file(path)
    if "backbone" not in states["p2bot"]:
        raise P2botError(f"{path} is not a Transmitter (-m p2bot)")
    needed = {"backbone": dict, "options": dict, "run": dict, "tokenizer": str}
    check_description(states, path, **needed, next_utterance=bool)
    return states


def load_transmitter(
    path: str, tokenizer: P2botTokenizer, like: Transmitter | None = None
) -> Transmitter:
    """
    A trained Transmitter, frozen and in evaluation mode.

    :param like: another one, whose base it shares where both are adapters of the same.
    :raises P2botError: for a file of another agent, or one with another tokenizer.
    """
    states = read_transmitter_file(path)
    check_tokenizer(states, path, tokenizer, "the Transmitter's")
    network = Transmitter(backbones.from_json(states["p2bot"]["backbone"], like and like.backbone))
    load_weights(network, states, path)
    return network.freeze()


def build_network(states: dict[str, Any]) -> Receiver:
    """The Receiver that a model file describes, with fresh weights."""
    saved = states["p2bot"]
    shared = saved["options"].get("share_encoders", False)
    return build_receiver(lambda like: encoders.from_json(saved["encoder"], like), shared)


def read_kind(path: str, kind: str, called: str) -> dict[str, Any]:
    """
    The model file of an agent over sentence encoders.

    :param kind: what the file says it is; also its ``--model``. :param called: in messages.
    :raises P2botError: for a file that is missing, damaged, or of another agent.
    """
    if not os.path.exists(path):
        raise P2botError(f"there is no {called} at {path}: train one with -m p2bot/{kind}")
    states = read_model_file(path)
    if states["p2bot"].get("kind") != kind:
        raise P2botError(f"{path} is not a {called} (-m p2bot/{kind})")
    needed = {"encoder": dict, "options": dict, "run": dict, "tokenizer": str}
    check_description(states, path, **needed, text_truncate=int)
    return states


def read_receiver_file(path: str) -> dict[str, Any]:
    """See `read_kind`."""
    states = read_kind(path, "receiver", "Receiver")
    check_calibration(check_description(states, path, tau=(int, float)), path)
    return states


def load_perceiver(path: str) -> Perceiver:
    """
    A trained Receiver: frozen, with its tokenizer and its tau.

    :param path: the ``--model-file`` of a Receiver, with its ``.dict`` beside it.
    :raises P2botError: for a file that is missing, damaged, or of another agent.
    """
    states = read_receiver_file(path)
    network = build_network(states).eval().requires_grad_(False)
    load_weights(network, states, path)
    tokenizer = read_sentence_tokenizer(dict_file(path))
    check_tokenizer(states, path, tokenizer, dict_file(path))
    tokenizer.limit(min(states["p2bot"]["text_truncate"], network.impression.max_tokens))
    about = states["p2bot"]
    spelling = CorpusSpelling(about.get("spelling"))
    return Perceiver(network, tokenizer, about["tau"], spelling, about.get("calibration", ()))
