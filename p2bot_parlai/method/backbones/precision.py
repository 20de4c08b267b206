"""
How a network computes, which is not saved with a model: its precision, and whether the
backward pass recomputes activations.

`set_computing` sets both. Weights, gradients, the optimizer and what a network returns are
always fp32, and so are losses, log-probabilities and rewards.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import Cache
from transformers.pytorch_utils import Conv1D

from p2bot_parlai.method.backbones.adapters import as_now
from p2bot_parlai.method.memory import bound_product_caches, reuse_memory

PRECISIONS = ("auto", "fp32", "bf16")


def precision_on(cuda: bool, asked: str) -> str:
    """
    ``fp32`` or ``bf16``. ``auto`` is bf16 on a GPU that computes in it, fp32 elsewhere.

    :param cuda: whether the network will be on a GPU.
    """
    if asked != "auto":
        return asked
    has_it = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_it else "fp32"


class Computing(nn.Module):
    """
    Base class of backbones and encoders, which compute within `autocast`.

    :param precision: ``fp32``: that of the weights, or of the caller's autocast. ``bf16``:
        matrix products in bfloat16, through torch.autocast.
    :param gradient_checkpointing: the backward pass recomputes each layer.
    """

    precision: str = "fp32"
    gradient_checkpointing: bool = False
    names: tuple[str, ...] = ()  # of its adapters, see `adapted`

    def freeze(self) -> None:
        self.requires_grad_(False)

    def merged(self) -> Self:
        """The same weights without adapters."""
        return self

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def recomputing(self, cache: Cache | None) -> contextlib.AbstractContextManager:
        """
        Not with a cache: a layer that is called again would extend it again. Packed turns have
        none, in self-play too.
        """
        if self.gradient_checkpointing and cache is None and torch.is_grad_enabled():
            return _recomputed(self.layers())
        return contextlib.nullcontext()

    def layers(self) -> Iterable[nn.Module]:
        """What is recomputed, one by one."""
        raise NotImplementedError


def set_computing(
    network: nn.Module, precision: str, gradient_checkpointing: bool | None = None
) -> None:
    """
    Set every backbone and encoder in a network.

    :param gradient_checkpointing: None: as it is; a frozen network may share its base with one
        that learns.
    """
    reuse_memory()
    if precision == "bf16":
        bound_product_caches()
    for module in network.modules():
        if isinstance(module, Computing):
            module.precision = precision
            if gradient_checkpointing is not None:
                module.gradient_checkpointing = gradient_checkpointing
            if gradient_checkpointing:
                module.layers()  # an error now rather than at the first step


def keep_casts(device: torch.device) -> contextlib.AbstractContextManager:
    """
    Make bfloat16 copies of the weights once for many small passes, such as decoding.

    Only networks set to bf16 compute in it. Not for passes with gradients: a copy that was
    made without them would stop them.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=False)


def freeze_casts(network: nn.Module) -> None:
    """
    Store the linear layers of a frozen bf16 network as its passes would cast them: the same
    results with half the memory. (autocast keeps no copies of weights without gradients.)
    Embeddings and norms stay fp32: they are not cast.
    """
    for backbone in network.modules():
        if isinstance(backbone, Computing) and backbone.precision == "bf16":
            for module in backbone.modules():
                if isinstance(module, nn.Linear | Conv1D) and not module.weight.requires_grad:
                    for name, own in module.named_parameters(recurse=False):
                        low = own.detach().to(torch.bfloat16)
                        setattr(module, name, nn.Parameter(low, requires_grad=False))


@contextlib.contextmanager
def _recomputed(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Within, layers keep only their inputs; the backward pass calls them again."""
    layers = list(layers)
    for layer in layers:
        layer.forward = _again(layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # restores the method of the class


def _again(forward: Callable) -> Callable:
    def keep_inputs(*args: Any, **kwargs: Any) -> Any:
        # the backward pass may come when other adapters are on, and in another thread
        return checkpoint(as_now(forward), *args, use_reentrant=False, **kwargs)

    return keep_inputs
