"""
Initial weights for a small Llama without pretraining that can copy before it learns anything.

To use its persona, a model must find "i have a" in it and continue as the persona does. A
pretrained model has attention heads for that, *induction heads* (Olsson et al., 2022,
arXiv:2209.11895); a small one with random weights does not develop them within minutes, and
learns to ignore its persona (docs/log.md, 2026-11-25). Here they are initialised by hand, and
train like all other weights:

- a head of the first layer attends to the previous token, and adds that token's content,
  rotated by R, to the current token's own;
- a head of the second layer undoes R to find tokens that follow earlier occurrences of the
  current one, and copies them: the word that came next last time.

Comparing content by weights near the identity is the idea of mimetic initialisation
(Trockman and Kolter, 2023, arXiv:2305.09828). Everything else stays random.
"""

from typing import Any

import torch
from torch import Tensor

from p2bot_parlai.errors import UsageError

# Positions rotate slowly: three quarters of a head's channels compare content at a distance
# of 100 tokens as they do nearby.
ROPE_THETA = 1e8
# The fastest channels tell one position from the next: only they attend to the token before.
POSITION_PAIRS = 4
POSITION_LOGIT = 8.0  # of the attention to the token before, from each of these pairs
CONTENT_LOGIT = 3.0  # scales the logit of equal tokens
EMBEDDING_STD = 0.2
COPY = 1.0  # scales the content of a copied token


def look_back(head_dim: int) -> tuple[Tensor, Tensor]:
    """
    Biases (head_dim,) of query and key whose product, once both are turned by rotary
    positions, is largest if the key is one token before the query.

    Pair i of Llama's channels is (i, i + head_dim / 2), turned by position * theta^(-2i/dim).
    With a key of k and a query of R(-1) k, the product is |k|^2 cos((distance - 1) * speed).
    """
    half = head_dim // 2
    pairs = min(POSITION_PAIRS, half)
    size = (POSITION_LOGIT * head_dim**0.5) ** 0.5  # attention divides by sqrt(head_dim)
    speed = ROPE_THETA ** (-torch.arange(pairs).float() / half)
    key, query = torch.zeros(head_dim), torch.zeros(head_dim)
    key[:pairs] = size
    query[:pairs] = size * torch.cos(-speed)
    query[half : half + pairs] = size * torch.sin(-speed)
    return query, key


@torch.no_grad()
def lay_out_induction_heads(lm: Any) -> None:
    """
    Half of the heads of the first two layers, at least one.

    :param lm: a LlamaForCausalLM with ``attention_bias`` and `ROPE_THETA`, as many key heads
        as query heads, random weights.
    :raises UsageError: if it has no second layer.
    """
    config = lm.config
    if config.num_hidden_layers < 2:
        raise UsageError("--backbone sketch finds and copies in two steps: --n-layers 2 at least")
    width, heads = config.hidden_size, config.num_attention_heads
    head_dim = width // heads
    first, second = (layer.self_attn for layer in lm.model.layers[:2])
    lm.model.embed_tokens.weight.normal_(std=EMBEDDING_STD)
    turn, basis = _orthogonal(width), _orthogonal(width)  # R, and what each head reads
    for head in range(max(1, heads // 2)):
        part = slice(head * head_dim, (head + 1) * head_dim)
        read = basis[part]  # (head_dim, D)
        query, key = look_back(head_dim)
        first.q_proj.bias[part], first.k_proj.bias[part] = query, key
        # the place decides, not the words
        first.q_proj.weight[part] *= 0.2
        first.k_proj.weight[part] *= 0.2
        first.v_proj.weight[part] = read
        first.o_proj.weight[:, part] = EMBEDDING_STD * turn @ read.T
        second.q_proj.weight[part] = CONTENT_LOGIT**0.5 * read
        second.k_proj.weight[part] = CONTENT_LOGIT**0.5 * read @ turn.T
        second.v_proj.weight[part] = read
        second.o_proj.weight[:, part] = COPY * read.T


def _orthogonal(size: int) -> Tensor:
    """A random rotation (size, size)."""
    return torch.linalg.qr(torch.randn(size, size))[0]
