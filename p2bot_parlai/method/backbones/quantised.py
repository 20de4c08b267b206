"""
A frozen base in 8 or 4 bits, for adapters (QLoRA, Dettmers et al. 2023).

Weights are held in blocks of 64 with one scale each, the block's largest magnitude:
w ~ c * max|w|. With int8, c is one of the numbers i / 127; with int4 one of the 16 of NF4, which a
normal variable takes equally often. Products are those of the dequantised weights, so they depend
neither on the rest of a batch, nor on whether the network is in training.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

BASE_DTYPES = ("none", "int8", "int4")
BLOCK = 64


def nf4() -> Tensor:
    """
    The 16 numbers of NF4, ascending (QLoRA, section 3 and appendix E): quantiles of the normal
    distribution, with an exact 0, the largest of them 1.
    """
    tail = 1 - (1 / 30 + 1 / 32) / 2
    above = torch.special.ndtri(torch.linspace(tail, 0.5, 9, dtype=torch.float64)[:-1])
    below = torch.special.ndtri(torch.linspace(tail, 0.5, 8, dtype=torch.float64)[:-1])
    return (torch.cat([-below, torch.zeros(1), above.flip(0)]) / above[0]).float()


class Quantised(nn.Module):
    """
    A frozen linear layer, (..., in) -> (..., out).

    :param layer: whose weights it takes. :param dtype: ``int8`` or ``int4``.
    """

    qweight: Tensor  # int8 (blocks, 64), or uint8 (blocks, 32): two numbers a byte; PEFT knows it
    scales: Tensor  # (blocks, 1)
    values: Tensor  # (256, 2): the two numbers of a byte of int4

    def __init__(self, layer: Any, dtype: str):
        super().__init__()
        weight = layer.weight.detach().float()
        weight = weight.T if isinstance(layer, Conv1D) else weight
        self.out_features, self.in_features = weight.shape
        self.bias = layer.bias
        blocks = functional.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
        scales = blocks.abs().amax(dim=1, keepdim=True)
        blocks = blocks / scales.clamp(min=torch.finfo(torch.float).tiny)
        numbers = nf4().to(weight.device)
        if dtype == "int8":
            codes = (127 * blocks).round().to(torch.int8)
        else:
            nearest = torch.bucketize(blocks, (numbers[1:] + numbers[:-1]) / 2)
            codes = (16 * nearest[:, ::2] + nearest[:, 1::2]).to(torch.uint8)
        self.register_buffer("qweight", codes)
        self.register_buffer("scales", scales)
        self.register_buffer("values", torch.cartesian_prod(numbers, numbers), persistent=False)

    def dequantised(self) -> Tensor:
        """The weights that it computes with: (out, in)."""
        if self.qweight.dtype == torch.int8:
            blocks = self.qweight / 127
        else:
            blocks = functional.embedding(self.qweight.int(), self.values).flatten(1)
        weight = (blocks * self.scales).flatten()[: self.out_features * self.in_features]
        return weight.view(self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        y = _Product.apply(x, self)
        return y if self.bias is None else y + self.bias.to(y)


class _Product(torch.autograd.Function):
    """x W^T; the backward pass dequantises again, instead of keeping W for all layers."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Quantised) -> Tensor:
        ctx.layer = layer
        return functional.linear(x, layer.dequantised())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad @ ctx.layer.dequantised().to(grad), None


def quantise(backbone: Any, dtype: str) -> None:
    """
    Replace the frozen linear layers of the blocks; embeddings, norms and adapters stay.

    :param backbone: with `layers`, see `p2bot_parlai.method.backbones`.
    """
    for block in backbone.layers():
        for parent in list(block.modules()):
            if not isinstance(parent, nn.ModuleDict):  # of adapters, which may be frozen
                for name, layer in list(parent.named_children()):
                    if isinstance(layer, nn.Linear | Conv1D):
                        setattr(parent, name, Quantised(layer, dtype))
