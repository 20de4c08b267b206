"""Model files as agents read and write them, and the options that a saved model fixes."""

from dataclasses import dataclass, field

import numpy as np
import torch
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.parlai_support import files


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


def write_model_file(agent, path: str) -> None:
    """
    Write what ParlAI's ``TorchAgent.save`` does, each file completely or not at all. The weights
    come last: where there is a model file, its dictionary and options are beside it.

    :raises P2botError: if it cannot be written.
    """
    if not PathManager.exists(f"{path}.dict"):
        agent.dict.save(f"{path}.dict", sort=False)
    with files.whole(f"{path}.opt") as temporary:
        agent.opt.save(temporary)
    states = agent.state_dict()
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


def check_tokenizer(saved: SavedModel, tokenizer: P2botTokenizer, dict_file: str) -> None:
    """:raises P2botError: if the model was trained with another tokenizer."""
    if saved.about["tokenizer"] != tokenizer.fingerprint():
        raise P2botError(
            f"{dict_file} is not the tokenizer that {saved.path} was trained with: use the .dict "
            "beside that file, or another --model-file"
        )
