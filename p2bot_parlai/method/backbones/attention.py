"""
Attention with an explicit mask: softmax(Q K^T / sqrt(d) + M) V.

torch's fused kernel for CPUs reaches a fifth of what plain products do in bfloat16. There, the
products are taken themselves, some queries at a time, with no key behind the last one that they
see; the backward pass takes those of the forward pass again instead of keeping them. Elsewhere,
and with dropout, it is torch's kernel.

B rows, H heads of width d, which share K heads of keys, T queries, S keys. Values may be of another
width, e.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "p2bot"  # among transformers' implementations
BLOCK = 128  # queries at a time


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float = 0) -> Tensor:
    """
    :param query: (B, H, T, d). :param key: (B, H, S, d), as value.
    :param mask: bool (B, 1, T, S), which keys each query sees, at least one.
    :return: (B, H, T, d)
    """
    if _by_products(query, mask, dropout):
        return _Products.apply(*_low(query, key, value), mask, query.shape[-1] ** -0.5)
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout
    )


def for_transformers(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """As `transformers.AttentionInterface` calls it, in place of its ``sdpa``."""
    plain = all(more.get(name) is None for name in ("softcap", "position_bias", "cache"))
    if plain and attention_mask is not None and _by_products(query, attention_mask, dropout):
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        found = _Products.apply(*_low(query, key, value), attention_mask, scale)
        return found.transpose(1, 2).contiguous(), None
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
    )


AttentionInterface.register(NAME, for_transformers)
AttentionMaskInterface.register(NAME, sdpa_mask)


def _by_products(query: Tensor, mask: Tensor, dropout: float) -> bool:
    low = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return (
        query.device.type == "cpu"
        and (low or query.dtype == torch.bfloat16)
        and mask.dtype == torch.bool
        and mask.shape[1:3] == (1, query.shape[2])
        and dropout == 0
    )


def _low(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.to(torch.bfloat16) for tensor in tensors)


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float
    ) -> Tensor:
        """Keys and values may have fewer heads: (B, K, S, d), (B, K, S, e) -> (B, H, T, e)."""
        ctx.save_for_backward(query, key, value, mask)
        ctx.scale = scale
        # (B, H, T, e), as (B, T, H, e) lies: so it goes on
        rows, heads, length, _ = query.shape
        found = value.new_empty(rows, length, heads, value.shape[-1]).transpose(1, 2)
        for part, seen, bias in _blocks(mask):
            weights = _weights(_grouped(query[:, :, part], key), _first(key, seen), bias, scale)
            found[:, :, part] = _split(weights @ _first(value, seen), query)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mask = ctx.saved_tensors
        of_query = torch.empty_like(query)
        of_key, of_value = torch.zeros_like(key), torch.zeros_like(value)
        for part, seen, bias in _blocks(mask):
            queries, keys = _grouped(query[:, :, part], key), _first(key, seen)
            grads = _grouped(grad[:, :, part], key)
            weights = _weights(queries, keys, bias, ctx.scale)
            of_value[:, :, :seen] += weights.transpose(2, 3) @ grads
            of_weights = grads @ _first(value, seen).transpose(2, 3)
            # through the softmax: p * (g - sum(p * g))
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_query[:, :, part] = _split(of_scores @ keys, query).mul_(ctx.scale)
            of_key[:, :, :seen] += (of_scores.transpose(2, 3) @ queries).mul_(ctx.scale)
        return of_query, of_key, of_value, None, None


def _blocks(mask: Tensor) -> Iterator[tuple[slice, int, Tensor]]:
    """Queries, how many of the first keys they see, and what is added to scores: (B, 1, t, seen)"""
    for start in range(0, mask.shape[2], BLOCK):
        rows = slice(start, start + BLOCK)
        seen = int(mask[:, 0, rows].view(torch.uint8).amax(dim=(0, 1)).nonzero()[-1]) + 1
        hidden = mask[:, :, rows, :seen].logical_not()
        bias = torch.zeros(hidden.shape, dtype=torch.bfloat16, device=mask.device)
        yield rows, seen, bias.masked_fill_(hidden, -torch.inf)


def _first(keys: Tensor, seen: int) -> Tensor:
    """In one piece: a product copies what is not, and a transposed copy is slow."""
    return keys[:, :, :seen].contiguous()


def _grouped(query: Tensor, key: Tensor) -> Tensor:
    """Heads that share keys, one behind another: (B, H, t, d) -> (B, K, H / K * t, d)."""
    return query.reshape(len(query), key.shape[1], -1, query.shape[-1])


def _split(found: Tensor, query: Tensor) -> Tensor:
    """Back to (B, H, t, d)."""
    return found.view(len(query), query.shape[1], -1, found.shape[-1])


def _weights(query: Tensor, key: Tensor, bias: Tensor, scale: float) -> Tensor:
    """What each query takes of each key: (B, K, G * t, S) for G heads that share keys."""
    scores = query @ key.transpose(2, 3)
    rows, heads, _, seen = scores.shape
    scores.mul_(scale).view(rows, heads, -1, bias.shape[2], seen).add_(bias[:, :, None])
    return torch.softmax(scores, dim=-1)
