"""Model files as agents read and write them, and what a run takes from the one it starts from."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from parlai.core.opt import Opt
from parlai.utils import logging
from parlai.utils.io import PathManager

from p2bot_parlai.agents.options.common import flag
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support import files
from p2bot_parlai.parlai_support.names import zoo_path


def start_of(opt: Opt) -> tuple[str | None, bool]:
    """
    The model file that an agent is built from, and whether it begins another run (fine-tuning).

    :return: (None, False) for an agent that starts from nothing.
    :raises P2botError: where that file, or the ``.dict`` beside it, is missing; ParlAI would
        start from random weights, and learn another tokenizer.
    """
    model = opt.get("model_file")
    start = zoo_path(opt.get("datapath"), opt.get("init_model"), "--init-model")
    resumes = start and start.endswith(".checkpoint") and opt.get("load_from_checkpoint")
    if model and not resumes and PathManager.exists(model):
        start = model
    if not start:
        return None, False
    if not PathManager.exists(start):
        raise P2botError(f"--init-model {start}: there is no such file")
    if not PathManager.exists(dict_of(opt, start)):
        raise P2botError(
            f"{dict_of(opt, start)}, the tokenizer of {start}, is missing: copy it from where "
            "the model was trained"
        )
    return start, not resumes and start != model


def dict_of(opt: Opt, start: str) -> str:
    """The tokenizer that belongs to a saved model; the user may name another copy of it."""
    return opt.get("override", {}).get("dict_file") or f"{start}.dict"


def inherit(opt: Opt, start: str, names: Iterable[str]) -> None:
    """
    A run that starts from another model reads texts as that model does, unless the command line
    says otherwise: ParlAI takes no options from there.

    :param names: of the options that decide it.
    """
    saved = _saved_options(start)
    for name in names:
        if name in saved and name not in opt.get("override", {}):
            if opt.get(name) != saved[name]:
                logging.info(f"{name} {saved[name]}, as {start} was trained")
            opt[name] = saved[name]


def warn_kept(opt: Opt, start: str, names: Iterable[str]) -> None:
    """
    Say that a resumed run keeps options of its beginning where the command line has others.

    :param names: of those that it keeps.
    """
    saved, given = _saved_options(start), opt.get("override", {})
    for name in names:
        if name in saved and name in given and _plain(given[name]) != saved[name]:
            logging.warning(
                f"{flag(name)} {given[name]} has no effect: this run goes on with "
                f"{saved[name]}. To change it, start another run with --init-model"
            )


def _plain(value):
    """As JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value


def _saved_options(model_file: str) -> dict:
    if not os.path.exists(f"{model_file}.opt"):
        return {}
    with open(f"{model_file}.opt", encoding="utf-8") as file:
        return json.load(file)


@dataclass
class SavedModel:
    """
    A model file that an agent is built from.

    :param states: all that it holds; emptied once the agent is built, so that the weights are
        not kept twice.
    """

    path: str
    states: dict
    about: dict = field(init=False)  # what the file says of itself

    def __post_init__(self):
        self.about = self.states["p2bot"]


def is_light(opt: Opt, path: str) -> bool:
    """
    Whether a model file is to be mailed and shipped: adapters in half precision, without what
    the optimizer knows of each weight. The run itself goes on from its checkpoint.
    """
    return opt.get("adapter", "none") != "none" and not path.endswith(".checkpoint")


def write_model_file(agent, path: str) -> None:
    """
    Write what ParlAI's ``TorchAgent.save`` does, each file completely or not at all. The weights
    come last: where there is a model file, its dictionary and options are beside it. A ``.dict``
    that an earlier run left there is replaced.

    :raises P2botError: if it cannot be written.
    """
    agent.dict.save(f"{path}.dict", sort=False)
    with files.whole(f"{path}.opt") as temporary:
        agent.opt.save(temporary)
    states = agent.state_dict()
    if not path.endswith(".checkpoint"):
        states.pop("selves", None)  # of self-play; only a resumed run needs them
    if is_light(agent.opt, path):
        rounded: dict[int, torch.Tensor] = {}  # a shared encoder has two names
        states["model"] = {
            name: rounded.setdefault(weight.data_ptr(), weight.bfloat16())
            for name, weight in states["model"].items()
        }
        if "optimizer" in states:  # its learning rate stays, which schedulers have changed
            states["optimizer"] |= {"state": {}}
    with files.whole(path) as temporary, open(temporary, "wb") as file:
        torch.save(states, file)


def plain(value):
    """
    The same with numpy's numbers as Python's: ParlAI's schedulers leave some in their
    states, and `read_model_file` would refuse them as objects of unknown kind.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def check_flags(saved: SavedModel, given: dict) -> None:
    """
    Refuse flags that contradict a saved model.

    :param given: options set by the user in this run.
    """
    for name, value in saved.about["options"].items():
        if name in given and str(given[name]) != str(value):
            flag = "--" + name.replace("_", "-")
            raise UsageError(
                f"{flag} {given[name]} contradicts {saved.path}, which was built with {flag} "
                f"{value}: drop the flag or choose another --model-file"
            )
