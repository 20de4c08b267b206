"""A frozen base in 8 or 4 bits."""

import sys

import pytest
import torch
from test_lora import CONFIGS, IDS, backbone, close, logits, role, stir
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.quantised import BASE_DTYPES, BLOCK, Quantised, quantise

DTYPES = BASE_DTYPES[1:]
# half of the widest gap between two numbers: the largest error, of a block's largest weight
WIDEST = {"int8": 1 / 254, "int4": (1 - 0.6961928) / 2}


def adapt(network, rank: int = 3, targets: tuple[str, ...] = ()):
    found = role(network)
    found.add(rank, 6, targets)
    return stir(found, seed=rank)


def layer_of(weight) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return layer


@pytest.mark.parametrize("dtype", DTYPES)
def test_by_hand(dtype):
    """
    One block whose largest weight is 2, and one that is 0, with a part of a block left over. The
    numbers of NF4 are those of QLoRA's appendix E.
    """
    weight = torch.zeros(3, BLOCK - 1)
    weight[0, :5] = torch.tensor([-2.0, 0.3, 0.1, 1.3, 0.02])
    expected = torch.zeros_like(weight)
    codes = {
        "int8": torch.tensor([-127, 19, 6, 83, 1]) / 127,
        "int4": torch.tensor([-1.0, 0.1609302, 0.0795803, 0.7229568, 0.0]),
    }
    expected[0, :5] = 2 * codes[dtype]
    close(Quantised(layer_of(weight), dtype).dequantised(torch.float), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 40), (24, 16), (3, 21), (6, 96), (1, 4)])
def test_no_weight_is_further_than_half_of_a_gap(dtype, shape):
    """Also where a row is no whole number of blocks."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    error = (Quantised(layer_of(weight), dtype).dequantised(torch.float) - weight).abs()
    left = (0, -weight.numel() % BLOCK)
    error, weight = (functional.pad(t.flatten(), left).view(-1, BLOCK) for t in (error, weight))
    share = (error / weight.abs().amax(dim=1, keepdim=True)).max()
    assert 0 < share <= WIDEST[dtype] + 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
def test_the_layer_is_a_product_with_the_dequantised_weights(dtype, kind):
    torch.manual_seed(0)
    layer = nn.Linear(16, 24) if kind is nn.Linear else Conv1D(24, 16)
    nn.init.normal_(layer.bias)
    quantised = Quantised(layer.requires_grad_(False), dtype)
    x = torch.randn(2, 3, 16, requires_grad=True)
    plain = functional.linear(x, quantised.dequantised(torch.float), layer.bias)
    y = quantised(x)
    close(y, plain)
    upstream = torch.randn_like(y)
    (found,) = torch.autograd.grad(y, x, upstream)
    (expected,) = torch.autograd.grad(plain, x, upstream)
    close(found, expected)
    with torch.no_grad():
        close(quantised.eval()(x), plain)
        close(quantised(x[:1, :1]), plain[:1, :1])
        with torch.autocast("cpu", torch.bfloat16):
            low = quantised(x)
    weight = quantised.dequantised(torch.bfloat16)
    assert torch.equal(low, functional.linear(x.bfloat16(), weight) + layer.bias.bfloat16())


def test_without_bitsandbytes_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(P2botError, match=r'"\.\[quant\]"'):
        quantise(backbone("llama"), "int4")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["gpt", *CONFIGS])
def test_adapters_on_a_quantised_base(kind, dtype):
    adapted, plain = adapt(backbone(kind)), adapt(backbone(kind))
    quantise(adapted, dtype)
    kinds = {type(m) for block in adapted.layers() for m in block.modules()}
    assert Quantised in kinds and Conv1D not in kinds
    with torch.no_grad():
        error = (logits(adapted) - logits(plain)).norm() / logits(plain).norm()
    assert 0 < error < 3 * WIDEST[dtype]
    before = {place: weight.clone() for place, weight in adapted.weights().items()}
    learning = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=0.01)
    losses = []
    for _ in range(8):
        loss = functional.cross_entropy(logits(adapted)[0, :-1], IDS[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(not torch.equal(w, before[place]) for place, w in adapted.weights().items())


@pytest.mark.parametrize("dtype", DTYPES)
def test_another_role_on_a_quantised_base(dtype):
    """Also on layers that had no adapter when they were quantised."""
    first = adapt(backbone("llama"), targets=("q_proj",))
    quantise(first, dtype)
    with torch.no_grad():
        before = logits(first)
        second = adapt(first.network, rank=2)
        close(logits(first), before)
        copy = adapt(first.network, rank=2)
        copy.load_state_dict(second.state_dict())
        close(logits(copy), logits(second))
        assert (logits(second) - before).abs().max() > 1e-3
