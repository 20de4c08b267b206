"""
Reading model files of the released code without running code in them.

The files are pickles of torch 1.0 (its format before zip files): ``model`` is the state dict;
``optimizer``, ``optimizer_type``, ``longest_label`` and ``opt`` stand beside it. Optimizers of
that time hold objects. They are read as stand-ins: classes of ours that hold what was in the file
and do nothing. Anything else is refused.
"""

import os
import re

import torch
from torch import Tensor

from p2bot_parlai.errors import P2botError, UsageError

# the classes in optimizer states of pytorch_pretrained_bert 0.6 and in ParlAI's options
_STAND_INS = {
    "pytorch_pretrained_bert.optimization": (
        "ConstantLR",
        "WarmupConstantSchedule",
        "WarmupCosineSchedule",
        "WarmupCosineWithHardRestartsSchedule",
        "WarmupCosineWithWarmupRestartsSchedule",
        "WarmupLinearSchedule",
    ),
    "torch.optim.optimizer": ("_RequiredParameter",),
    "argparse": ("Namespace",),
}


def _stand_ins() -> list[type]:
    """Classes without behaviour, with the names that a file may mention."""
    return [
        type(name, (), {"__module__": module})
        for module, names in _STAND_INS.items()
        for name in names
    ]


def read_weights(path: str, flag: str) -> dict[str, Tensor]:
    """
    The state dict of a released model, on the CPU, in float32.

    :param flag: the option that names the file, for error messages.
    :raises P2botError: for a file that is missing, damaged, unsafe or of another kind.
    """
    if not os.path.isfile(path):
        raise P2botError(f"{flag} {path}: there is no such file")
    try:
        with torch.serialization.safe_globals(_stand_ins()):
            states = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles end in every kind of exception
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            why = f"it contains {refused[1]}, which could run code; nothing was run"
        else:
            why = "it is damaged, incomplete, or not a PyTorch file"
        raise P2botError(f"{flag} {path} cannot be read: {why}") from error
    weights = states.get("model") if isinstance(states, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise P2botError(
            f"{flag} {path} is not a model file of the released code: it has no 'model' weights"
        )
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in weights.items()
    }


class Weights:
    """
    Weights that are taken one by one, so that none is overlooked.

    :param weights: by their names in the file.
    :param where: flag and path, for error messages.
    """

    def __init__(self, weights: dict[str, Tensor], where: str):
        self.left, self.where = dict(weights), where

    def take(self, name: str, dims: int) -> Tensor:
        """
        :param dims: the expected number of dimensions.
        :raises P2botError: if the tensor is missing or has another number of dimensions.
        """
        if name not in self.left:
            raise P2botError(f"{self.where} has no {name}: it is another kind of model")
        found = self.left.pop(name)
        if found.dim() != dims:
            raise P2botError(f"{self.where}: {name} has shape {tuple(found.shape)}")
        return found

    def take_below(self, prefix: str) -> dict[str, Tensor]:
        """All weights whose names start with the prefix, without the prefix."""
        names = [name for name in self.left if name.startswith(prefix)]
        return {name[len(prefix) :]: self.left.pop(name) for name in names}

    def drop(self, *names: str) -> None:
        """Ignore these weights, present or not."""
        for name in names:
            self.left.pop(name, None)

    def load_into(self, network: torch.nn.Module, weights: dict[str, Tensor]) -> None:
        """:raises P2botError: if names or shapes are not exactly the network's."""
        wanted, found = (
            {name: (tensor.shape, tensor.layout) for name, tensor in states.items()}
            for states in (network.state_dict(), weights)
        )
        for name, _ in sorted(wanted.items() ^ found.items(), key=str):
            raise P2botError(
                f"{self.where}: {name} is missing, or has another shape than expected; is "
                "--head-size right?"
            )
        network.load_state_dict(weights)

    def heads(self, width: int, head_size: int) -> int:
        """Attention heads. :raises UsageError: if ``--head-size`` does not divide the width."""
        if head_size < 1 or not width or width % head_size:
            raise UsageError(f"--head-size {head_size}: the width of {self.where} is {width}")
        return width // head_size

    def finish(self) -> None:
        """:raises P2botError: if weights are left over."""
        if self.left:
            raise P2botError(
                f"{self.where} has weights that no released model has: {sorted(self.left)[0]}"
            )
