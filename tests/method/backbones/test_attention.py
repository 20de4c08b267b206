"""Attention by products, in bfloat16, against torch's in fp32 and in bfloat16."""

import pytest
import torch
from torch.nn import functional

from p2bot_parlai.method.backbones.attention import BLOCK, attend, for_transformers


def drawn(
    heads: int, shared: int, queries: int, keys: int, width: int = 8
) -> tuple[torch.Tensor, ...]:
    """Queries, keys, values and a mask with holes; what behind the last key seen is never read."""
    torch.manual_seed(0)
    query = torch.randn(2, heads, queries, 8)
    key, value = torch.randn(2, 2, shared, keys, 8)
    value = value[..., :width]
    seen = torch.rand(2, 1, queries, keys) < 0.5
    seen = seen.tril(keys - queries) | torch.eye(queries, keys, dtype=torch.bool)
    seen[..., -2:] = False
    seen[..., 0] |= ~seen.any(dim=-1)
    return query, key, value, seen


def run(function, tensors, dtype) -> list[torch.Tensor]:
    """What it returns, and gradients."""
    given = [t.detach().to(dtype).clone().requires_grad_(True) for t in tensors]
    found = function(*given)
    found.float().sin().sum().backward()
    assert found.dtype == dtype
    return [found.detach(), *(t.grad for t in given)]


@pytest.mark.parametrize(
    ("heads", "shared", "queries", "keys", "width"),
    [(4, 4, 9, 9, 8), (6, 2, 2 * BLOCK + 3, 280, 8), (6, 3, 2, 30, 8), (6, 3, 140, 150, 5)],
)
def test_products_are_attention(heads, shared, queries, keys, width):
    *tensors, mask = drawn(heads, shared, queries, keys, width)

    def plain(query, key, value):
        key, value = (x.repeat_interleave(heads // shared, dim=1) for x in (key, value))
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    def ours(query, key, value):
        module = torch.nn.Module()
        module.num_key_value_groups = heads // shared
        return for_transformers(module, query, key, value, mask)[0].transpose(1, 2)

    exact = run(plain, tensors, torch.float32)
    assert all(map(torch.equal, run(ours, tensors, torch.float32), exact))  # torch's own
    kernel, products = (run(f, tensors, torch.bfloat16) for f in (plain, ours))
    for found, other, expected in zip(products, kernel, exact, strict=True):
        error, others = ((x.float() - expected).norm() / expected.norm() for x in (found, other))
        assert error < min(0.01, 3 * others)


def test_a_mask_may_be_the_same_for_all_rows_or_all_queries():
    query, key, value, mask = drawn(4, 4, 9, 9)
    for same in (mask[:1], mask[:, :, -1:]):
        found = attend(*(t.bfloat16() for t in (query, key, value)), same)
        expected = attend(query, key, value, same)
        torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0)


def test_under_autocast_queries_may_be_in_fp32():
    *tensors, mask = drawn(4, 4, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(*tensors, mask)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, attend(*(t.bfloat16() for t in tensors), mask))
