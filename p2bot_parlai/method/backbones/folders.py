"""
Folders of Hugging Face's form that a run may begin with: what `parlai export_hf` adds to them.

Beside the language model, or the adapter (`adapter_folder`), and the tokenizer are the
next-utterance head and a description: the options that it was trained with, how its data are
written, and of an adapter its base.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from torch import nn

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.hub import LOADING_ERRORS

ADAPTER = "adapter_config.json"
DESCRIPTION = "p2bot.json"
HEAD = "next_utterance.safetensors"
BASE = {"name", "sha256", "vocabulary", "size"}  # `adapted.Base`


@cache
def folder_of(name: str) -> str:
    """
    :param name: a folder, or a hub name, of which all but code and pickles is fetched.
    :raises P2botError: if there is none.
    """
    if os.path.isdir(name):
        return name
    try:
        return snapshot_download(name, allow_patterns=["*.json", "*.safetensors"])
    except LOADING_ERRORS as error:
        reason = str(error).strip().split("\n")[0]
        raise P2botError(
            f"there is no folder {name}, and the Hugging Face hub gives none ({reason})"
        ) from error


def describe(folder: Path, about: dict[str, Any], head: nn.Module) -> None:
    """Write the description and the head."""
    (folder / DESCRIPTION).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    weights = head.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / HEAD)


def description_of(folder: str) -> dict[str, Any]:
    """Empty for a folder that is not of `parlai export_hf`."""
    path = Path(folder) / DESCRIPTION
    if not path.exists():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"options": dict, "spelling": dict, "next_utterance": bool}
        if not all(isinstance(about[name], kind) for name, kind in kinds.items()):
            raise ValueError("it describes no model")
        if "base" in about and set(about["base"]) != BASE:
            raise ValueError("it describes no base")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise P2botError(f"{path} is damaged: {error}. Use another copy") from error
    return about


def load_head(head: nn.Module, folder: str) -> None:
    """:raises P2botError: for weights of another head, or none."""
    try:
        head.load_state_dict(load_file(Path(folder) / HEAD))
    except LOADING_ERRORS as error:
        reason = str(error).strip().split("\n")[-1].strip()
        raise P2botError(f"{folder} has no next-utterance head that fits: {reason}") from error
