"""Reading and checking model files, without running what they may hold."""

import pickle
import zipfile

import numpy as np
import torch
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError, UsageError

FORMAT = 1


def read_model_file(path: str) -> dict:
    """
    The states that an agent of ours saved.

    Read with ``weights_only``: tensors and plain data; code in the file is not run.

    :raises P2botError: for a file that is cut short, of another kind, or unsafe.
    """
    try:
        with PathManager.open(path, "rb") as file:
            states = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as bad:
        if "weights_only" in str(bad).lower() and "unsupported" in str(bad).lower():
            why = "it holds Python objects that would run code, and is refused"
        else:
            why = "it is damaged or was not written to its end"
        raise P2botError(
            f"cannot load {path}: {why}. Use another copy, or its .checkpoint, or train again"
        ) from bad
    if not isinstance(states, dict) or "p2bot" not in states:
        raise P2botError(
            f"{path} was not saved by an agent of p2bot_parlai; check --model-file / --init-model"
        )
    if states["p2bot"]["format"] > FORMAT:
        raise P2botError(f"{path} is of a newer p2bot_parlai; upgrade to load it")
    return states


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


def load_weights(network: torch.nn.Module, states: dict, path: str) -> None:
    """:raises P2botError: where the weights of a model file do not fit the network."""
    try:
        network.load_state_dict(states["model"])
    except RuntimeError as error:
        raise P2botError(
            f"the weights in {path} do not fit its description; the file, or the .dict beside "
            f"it, was changed ({str(error).splitlines()[-1].strip()})"
        ) from error
