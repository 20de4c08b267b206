"""
A file's description of its network may ask for more than there is: a million layers, a width of
a billion. So before anything is allocated the network is built once without memory (on torch's
meta device), and held against the weights that came with the description.
"""

from collections.abc import Callable, Mapping
from threading import get_ident

import torch
from torch import Tensor
from torch.nn.modules import module

from p2bot_parlai.errors import P2botError

# Tied weights are registered twice and saved once; a saved encoder has no pooler. Buffers are
# made, not saved: causal masks have the square of the positions, in every layer.
TIMES = 2
MORE_TENSORS, MORE_VALUES, MORE_IN_BUFFERS = 1_000, 2**20, 2**26


def check_size(build: Callable[[], object], weights: Mapping[str, Tensor] | None) -> None:
    """
    :param build: makes the network; called once, on the meta device.
    :param weights: what the file holds; None: the description is the user's own, not a file's.
    :raises P2botError: where the network has far more tensors, or values, than ``weights``.
    """
    if weights is None:
        return
    values = TIMES * sum(tensor.numel() for tensor in weights.values())
    tensors = TIMES * len(weights) + MORE_TENSORS
    left = {"tensors": tensors, "values": values + MORE_VALUES, "buffers": values + MORE_IN_BUFFERS}
    here = get_ident()

    def count(kind: str, tensor: Tensor | None) -> None:
        if tensor is None or get_ident() != here:  # the hooks see every thread's modules
            return
        left["tensors"] -= 1
        left[kind] -= tensor.numel()
        if min(left.values()) < 0:
            raise P2botError(
                "the saved model describes a network that is far larger than its weights: it is "
                "damaged, or made to exhaust memory"
            )

    hooks = (
        module.register_module_parameter_registration_hook(lambda _, __, t: count("values", t)),
        module.register_module_buffer_registration_hook(lambda _, __, t: count("buffers", t)),
    )
    try:
        with torch.device("meta"):
            build()
    finally:
        for hook in hooks:
            hook.remove()
