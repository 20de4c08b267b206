"""What a run takes from a folder that it begins with: that of ``--adapter``, or ``--backbone``."""

import os
from typing import Any

from parlai.core.opt import Opt
from parlai.utils import logging
from parlai.utils.data import DatatypeHelper

from p2bot_parlai.agents.options.common import flag
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.backbones.folders import DESCRIPTION, description_of, folder_of
from p2bot_parlai.method.backbones.names import UNTRAINED

# how texts are read, which a run that trains further keeps, and how they are answered
READING = ("context_style", "history_size", "text_truncate", "label_truncate", "alpha")
ANSWERING = (
    *("inference", "beam_size", "beam_min_length", "beam_length_penalty", "beam_block_ngram"),
    *("beam_context_block_ngram", "beam_block_full_context", "beam_delay", "temperature"),
    *("topk", "topp", "rank_by", "mutual_information", "block_said_before"),
)
NO_FOLDERS = ("none", "lora")  # as --adapter


def folder_in(opt: Opt) -> str | None:
    """
    The folder that a run begins with; None: no folder.

    :raises P2botError: for an ``--adapter`` that is none.
    """
    name = opt["adapter"]
    if name in NO_FOLDERS:
        return opt["backbone"] if os.path.isdir(opt["backbone"]) else None
    if opt["backbone"] in UNTRAINED:
        raise UsageError(
            f"--adapter {name}: the random weights of --backbone {opt['backbone']} are not what it "
            "was trained on; leave --backbone out, or name its base"
        )
    if "/" not in name and not os.path.isdir(name):
        raise UsageError(f"--adapter {name} is neither none, lora, a folder nor a hub name")
    return folder_of(name)


def learns(opt: Opt) -> bool:
    """Whether this run trains."""
    return DatatypeHelper.is_training(opt["datatype"]) and not opt.get("interactive_mode")


def take_options(opt: Opt) -> None:
    """
    Those that the folder's model was trained with, and its base, unless the command line says
    otherwise.

    :raises P2botError: for a folder that is damaged.
    """
    folder, given = folder_in(opt), opt.get("override", {})
    if not folder:
        return
    about, adapted = description_of(folder), opt["adapter"] not in NO_FOLDERS
    options: dict[str, Any] = about.get("options", {})
    names = READING if learns(opt) else (*READING, *ANSWERING)
    options = {name: options[name] for name in names if name in options}
    if adapted:
        from p2bot_parlai.method.backbones.adapter_folder import base_name  # peft is an extra

        options = {**options, "backbone": given.get("backbone") or base_name(folder)}
    for name, value in options.items():
        if isinstance(value, str) != isinstance(opt[name], str) or isinstance(value, list | dict):
            raise P2botError(f"{folder}/{DESCRIPTION} is damaged: {name} is {value}")
        if name not in given and opt[name] != value:
            logging.info(f"{flag(name)} {value}, as {folder} was trained")
            opt[name] = value
