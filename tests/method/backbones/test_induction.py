"""The first weights of --backbone sketch: it copies before it has learnt anything."""

import math

import pytest
import torch
from torch.nn import functional

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import build_untrained
from p2bot_parlai.method.backbones.induction import look_back

SIZES = {"n_layers": 2, "n_heads": 2, "embedding_size": 128, "n_positions": 128, "dropout": 0.0}


def logits_of(backbone, ids):
    length = ids.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool).tril().expand(len(ids), -1, -1)
    with torch.no_grad():
        return backbone.logits(backbone(ids, torch.arange(length).expand(len(ids), -1), mask))


def surprise(backbone, ids):
    """Of a text that comes twice, the mean loss over its second half, in nats a token."""
    half = ids.shape[1] // 2
    logits = logits_of(backbone, ids)[:, half:-1]
    return functional.cross_entropy(logits.flatten(0, 1), ids[:, half + 1 :].flatten()).item()


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_repeated_text_goes_on_as_before(heads):
    torch.manual_seed(heads)
    ids = torch.randint(8, 1000, (8, 20)).repeat(1, 2)
    ours = build_untrained("sketch", 1000, {**SIZES, "n_heads": heads}).eval()
    plain = build_untrained("sketch", 1000, {**SIZES, "n_heads": heads}).eval()
    plain.lm.apply(plain.lm._init_weights)
    chance = math.log(1000)
    assert surprise(plain, ids) > chance - 0.1
    assert surprise(ours, ids) < chance - 1.5


def test_the_token_before_is_looked_at():
    query, key = look_back(32)
    # turned by hand: channels i and i + 16 are one complex number, position p turns it by
    # p * 1e8^(-i/16)
    speed = 1e8 ** (-torch.arange(16) / 16)
    turned = torch.complex(query[:16], query[16:]) * torch.polar(torch.ones(16), 9 * speed)
    products = []
    for position in range(10):
        there = torch.complex(key[:16], key[16:]) * torch.polar(torch.ones(16), position * speed)
        products.append((turned * there.conj()).real.sum() / 32**0.5)
    attention = torch.stack(products).softmax(0)
    assert attention.argmax() == 8 and attention[8] > 0.9
    assert products[8].item() == pytest.approx(4 * 8, rel=1e-4)  # four pairs of logit 8


def test_one_layer_cannot():
    with pytest.raises(P2botError, match="--n-layers 2"):
        build_untrained("sketch", 300, {**SIZES, "n_layers": 1})
