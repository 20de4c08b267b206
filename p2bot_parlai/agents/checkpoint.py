"""Writing model files whole, and reading and checking them without running what they may hold."""

import math
import warnings

import numpy as np
import torch
from parlai.utils.io import PathManager

from p2bot_parlai import saving
from p2bot_parlai.errors import P2botError, UsageError

FORMAT = 1
MIN_TOKENS = 3  # of a sentence that an encoder reads


def write_model_file(agent, path: str) -> None:
    """
    What ParlAI's ``TorchAgent.save`` writes, each file whole or not at all. The weights come
    last: a model file that is there has its dictionary and its options beside it.

    :raises P2botError: where it cannot be written.
    """
    if not PathManager.exists(f"{path}.dict"):
        agent.dict.save(f"{path}.dict", sort=False)
    with saving.whole(f"{path}.opt") as temporary:
        agent.opt.save(temporary)
    states = agent.state_dict()
    with saving.whole(path) as temporary, open(temporary, "wb") as file:
        torch.save(states, file)


def read_model_file(path: str) -> dict:
    """
    The states that an agent of ours saved.

    Read with ``weights_only``: tensors and plain data; code in the file is not run.

    :raises P2botError: for a file that cannot be read, is cut short, of another kind, or unsafe.
    """
    try:
        with PathManager.open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd formats: our error says enough
            states = torch.load(file, map_location="cpu", weights_only=True)
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
    if not _is_state_dict(states.get("model")) or not isinstance(about.get("run", {}), dict):
        raise P2botError(f"cannot load {path}: it holds no weights. Use another copy")
    if about["format"] > FORMAT:
        raise P2botError(f"{path} is of a newer p2bot_parlai; upgrade to load it")
    return states


def check_description(states: dict, path: str, **kinds: type | tuple[type, ...]) -> dict:
    """
    What a model file says of itself.

    :param kinds: what it needs to say, and of which type each is.
    :raises P2botError: where something is missing, or is something else.
    """
    about = states["p2bot"]
    for name, kind in kinds.items():
        if not isinstance(about.get(name), kind):
            raise P2botError(f"{path} is damaged: it does not say its {name}. Use another copy")
    tau, tokens = about.get("tau", 1), about.get("text_truncate", MIN_TOKENS)
    if not 0 < tau < math.inf or not tokens >= MIN_TOKENS:
        raise P2botError(f"{path} is damaged: tau {tau}, text_truncate {tokens}. Use another copy")
    return about


def _is_state_dict(weights) -> bool:
    return isinstance(weights, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    )


def _reason(torch_says: str) -> str:
    said = torch_says.lower()
    if "weights_only" in said and any(word in said for word in ("unsupported", "torchscript")):
        return "it holds Python objects that would run code, and is refused"
    return "it is damaged or was not written to its end"


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
