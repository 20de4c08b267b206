"""Writing model files whole, and the options that a saved model decides."""

import numpy as np
import torch
from parlai.utils.io import PathManager

from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support import files


def write_model_file(agent, path: str) -> None:
    """
    What ParlAI's ``TorchAgent.save`` writes, each file whole or not at all. The weights come
    last: a model file that is there has its dictionary and its options beside it.

    :raises P2botError: where it cannot be written.
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


def check_flags(path: str, saved: dict, given: dict) -> None:
    """
    Refuse flags that contradict a saved model.

    :param saved: the options that shape the network, as saved.
    :param given: what the user set by hand in this run.
    """
    for name, value in saved.items():
        if name in given and str(given[name]) != str(value):
            flag = "--" + name.replace("_", "-")
            raise UsageError(
                f"{flag} {given[name]} contradicts {path}, which was built with {flag} {value}: "
                f"drop the flag or choose another --model-file"
            )
