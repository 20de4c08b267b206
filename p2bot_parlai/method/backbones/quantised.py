"""
A frozen base in 8 or 4 bits, for adapters (QLoRA, Dettmers et al. 2023).

Weights are held in blocks of 64 with one scale each, the block's largest magnitude:
w ~ c * max|w|. With int8, c is one of the numbers i / 127; with int4 one of the 16 of NF4, which a
normal variable takes equally often. bitsandbytes does the arithmetic. Its layers are not used: on a
CPU, results of `Linear8bitLt` and `Linear4bit` differ between training and evaluation. Products are
those of the dequantised weights, so they depend neither on that, nor on the rest of a batch.
"""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from p2bot_parlai.errors import P2botError

BASE_DTYPES = ("none", "int8", "int4")
BLOCK = 64

# that it misses a kernel which is not used here; PEFT imports it too
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def bitsandbytes() -> Any:
    """
    Its functions, which it takes seconds to import.

    :raises P2botError: where it is not installed.
    """
    try:
        from bitsandbytes import functional
    except ImportError as error:
        raise P2botError(
            "8 or 4 bits need a package that is not installed: pip install -c constraints.txt "
            '".[quant]"; or take --base-dtype none'
        ) from error
    return functional


class Quantised(nn.Module):
    """
    A frozen linear layer, (..., in) -> (..., out).

    :param layer: whose weights it takes. :param dtype: ``int8`` or ``int4``.
    """

    qweight: Tensor  # uint8 (out * in,), or two numbers a byte (out * in / 2, 1); PEFT knows it
    scales: Tensor  # (blocks,)
    numbers: Tensor  # (256,) or (16,): the values of c

    def __init__(self, layer: Any, dtype: str):
        super().__init__()
        weight = layer.weight.detach().float()
        weight = weight.T if isinstance(layer, Conv1D) else weight
        self.out_features, self.in_features = weight.shape
        self.bias, self.dtype = layer.bias, dtype
        # flat: on a CPU, 4 bits of rows that are not whole blocks are read with other rows' scales
        weight, bnb = weight.flatten(), bitsandbytes()
        if dtype == "int8":
            codes, state = bnb.quantize_blockwise(weight, bnb.create_linear_map(), blocksize=BLOCK)
        else:
            codes, state = bnb.quantize_4bit(weight, blocksize=BLOCK, quant_type="nf4")
        self.register_buffer("qweight", codes)
        self.register_buffer("scales", state.absmax)
        self.register_buffer("numbers", state.code)

    def dequantised(self, dtype: torch.dtype) -> Tensor:
        """The weights that it computes with: (out, in)."""
        bnb = bitsandbytes()
        shape = (self.out_features, self.in_features)
        size = torch.Size([self.out_features * self.in_features])
        state = bnb.QuantState(self.scales, size, self.numbers, BLOCK, "nf4", dtype)
        read = bnb.dequantize_blockwise if self.dtype == "int8" else bnb.dequantize_4bit
        return read(self.qweight, state).view(shape)

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        y = _Product.apply(x, self)
        return y if self.bias is None else y + self.bias.to(y)


class _Product(torch.autograd.Function):
    """x W^T; the backward pass dequantises again, instead of keeping W for all layers."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Quantised) -> Tensor:
        ctx.layer = layer
        return linear(x, layer.dequantised(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad @ ctx.layer.dequantised(grad.dtype), None


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
