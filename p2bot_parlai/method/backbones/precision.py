"""
How a network computes, which no saved model says: in what precision, and whether it keeps
what a layer computed for the backward pass or computes it again.

Both are set on the networks from outside (`set_computing`); weights, their gradients and the
optimizer are fp32 whatever is set, and what a network returns is fp32 too, so that losses,
log-probabilities and rewards are.
"""

import contextlib
from collections.abc import Iterable

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D

PRECISIONS = ("fp32", "bf16")


class Computing(nn.Module):
    """
    To be inherited by backbones and encoders, which compute within `autocast`.

    :param precision: ``fp32``: as the weights are, and within a caller's own autocast.
        ``bf16``: matrix products in bfloat16, through torch.autocast.
    :param gradient_checkpointing: the backward pass computes each layer again.
    """

    precision: str = "fp32"
    gradient_checkpointing: bool = False

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def recomputing(self, cache) -> contextlib.AbstractContextManager:
        """
        Not behind a cache: a layer that is called again would extend it again. Packed turns
        and self-play's gradient have none.
        """
        if self.gradient_checkpointing and cache is None and torch.is_grad_enabled():
            return _recomputed(self.layers())
        return contextlib.nullcontext()

    def layers(self) -> Iterable[nn.Module]:
        """What is computed again, one by one."""
        raise NotImplementedError


def set_computing(network: nn.Module, precision: str, gradient_checkpointing: bool = False) -> None:
    """Let every backbone and encoder in a network compute so."""
    for module in network.modules():
        if isinstance(module, Computing):
            module.precision = precision
            module.gradient_checkpointing = gradient_checkpointing
            if gradient_checkpointing:
                module.layers()  # an error now rather than at the first step


def keep_casts(device: torch.device) -> contextlib.AbstractContextManager:
    """
    For as long as many small passes without gradients use the same weights, e.g. token by
    token: bfloat16 copies of the weights are made once, not at every pass.

    Nothing but the networks that ask for it computes in bfloat16 here. Not for passes with
    gradients: a copy that was made without them would stop them.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=False)


def freeze_casts(network: nn.Module) -> None:
    """
    Store the matrices of a frozen network as its passes would cast them: the same results
    with half the memory, where `set_computing` said bf16. (autocast keeps no copies of
    weights that need no gradient.) Embeddings and norms stay fp32: they are not cast.
    """
    for backbone in network.modules():
        if isinstance(backbone, Computing) and backbone.precision == "bf16":
            for module in backbone.modules():
                if isinstance(module, nn.Linear | Conv1D):
                    low = module.weight.detach().to(torch.bfloat16)
                    module.weight = nn.Parameter(low, requires_grad=False)


@contextlib.contextmanager
def _recomputed(layers: Iterable[nn.Module]):
    """Within, layers keep their inputs alone; the backward pass calls them again."""
    layers = list(layers)
    for layer in layers:
        layer.forward = _again(layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # of the instance: its class's is there again


def _again(forward):
    def keep_inputs(*args, **kwargs):
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return keep_inputs
