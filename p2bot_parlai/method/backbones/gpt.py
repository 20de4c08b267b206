"""
The GPT of Radford et al. (2018), from which the paper's Transmitter starts.

transformers' OpenAIGPTModel has neither a KV cache nor fused attention. This one has both,
takes explicit positions and masks, keeps the parameter names and shapes of the Hugging Face
weights, and agrees with it to 1e-5 (tests/method/backbones/test_gpt.py).
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Cache
from transformers.pytorch_utils import Conv1D

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.attention import attend
from p2bot_parlai.method.backbones.precision import Computing
from p2bot_parlai.method.backbones.token_rows import TiedHead
from p2bot_parlai.method.kv_cache import growing_cache


@dataclass
class GPTConfig:
    """
    :param vocab_size: entries of the token embedding, special tokens included.
    :param n_positions: longest sequence, in tokens.
    :param n_embd: model width D. :param n_layer: blocks. :param n_head: attention heads.
    :param dropout: probability, in embeddings, attention and residuals.
    """

    vocab_size: int = 40478
    n_positions: int = 512
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    dropout: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise P2botError(f"GPT's width {self.n_embd} is not a multiple of {self.n_head} heads")


class Attention(nn.Module):
    """Masked multi-head self-attention; ``c_attn`` holds query, key and value."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.layer, self.n_head, self.dropout = layer, config.n_head, config.dropout
        self.c_attn = Conv1D(3 * config.n_embd, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor, cache: Cache | None) -> Tensor:
        batch, length, width = x.shape
        query, key, value = (
            part.view(batch, length, self.n_head, width // self.n_head).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )  # each (B, heads, T, D / heads)
        if cache is not None:
            key, value = cache.update(key, value, self.layer)
        attended = attend(query, key, value, mask[:, None], self.dropout * self.training)
        attended = attended.transpose(1, 2).reshape(batch, length, width)
        return self.resid_dropout(self.c_proj(attended))


class MLP(nn.Module):
    """Position-wise feed-forward layer of four times the width, GELU."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = Conv1D(4 * config.n_embd, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, 4 * config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh")))


class Block(nn.Module):
    """Layer norm after each residual, as in GPT of 2018 (GPT-2 moved it before)."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.attn = Attention(config, layer)
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)

    def forward(self, x: Tensor, mask: Tensor, cache: Cache | None) -> Tensor:
        x = self.ln_1(x + self.attn(x, mask, cache))
        return self.ln_2(x + self.mlp(x))


class GPT(Computing):
    """The stack; the output matrix is the token embedding."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.tokens_embed: Any = nn.Embedding(config.vocab_size, config.n_embd)
        self.positions_embed = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.head: nn.Module = TiedHead(self.tokens_embed)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding | Conv1D):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, Conv1D):
            nn.init.zeros_(module.bias)

    def forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None = None
    ) -> Tensor:
        """
        :param ids: (B, T) tokens. :param positions: (B, T) their places in the sequence.
        :param mask: bool (B, T, S), S = cached + T: which keys each token sees.
        :return: hidden states of the last block, (B, T, D).
        """
        with self.autocast(ids.device), self.recomputing(cache):
            x = self.drop(self.tokens_embed(ids) + self.positions_embed(positions))
            for block in self.h:
                x = block(x, mask, cache)
        return x.float()

    def layers(self) -> nn.ModuleList:
        return self.h

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        with self.autocast(hidden.device):
            return self.head(hidden).float()

    def new_cache(self) -> Cache:
        return growing_cache()

    @property
    def hidden_size(self) -> int:
        return self.config.n_embd

    @property
    def max_positions(self) -> int:
        return self.config.n_positions

    def reads(self, length: int) -> int:
        """Up to how many of ``length`` tokens it reads."""
        return min(length, self.config.n_positions)

    @property
    def dropout(self) -> float:
        return self.config.dropout

    @property
    def start_token(self) -> int | None:
        """What begins a text: GPT of 2018 has no such token."""
        return None

    def resize(self, size: int) -> None:
        """Grow the vocabulary; new rows start near the mean of the old ones."""
        old = self.tokens_embed.weight.data
        if size <= len(old):
            return
        rows = torch.randn(size - len(old), old.shape[1]) * self.config.initializer_range
        grown = torch.cat([old, old.mean(dim=0, keepdim=True) + rows.to(old)])
        self.tokens_embed = nn.Embedding.from_pretrained(grown, freeze=False)
        self.head = TiedHead(self.tokens_embed)
        self.config.vocab_size = size

    @property
    def vocabulary(self) -> int:
        """Entries of the token embedding."""
        return self.config.vocab_size

    def token_modules(self) -> tuple[nn.Module, nn.Module]:
        """The token embedding and the output matrix."""
        return self.tokens_embed, self.head

    def set_token_modules(self, embedding: nn.Module, head: nn.Module) -> None:
        self.tokens_embed, self.head = embedding, head

    def to_json(self) -> dict[str, Any]:
        return {"kind": "gpt", **asdict(self.config)}

    @classmethod
    def from_hugging_face(cls, model: Any) -> "GPT":
        """The weights of a transformers OpenAIGPTModel or OpenAIGPTLMHeadModel."""
        config = model.config
        ours = cls(
            GPTConfig(
                vocab_size=config.vocab_size,
                n_positions=config.n_positions,
                n_embd=config.n_embd,
                n_layer=config.n_layer,
                n_head=config.n_head,
                dropout=config.resid_pdrop,
                layer_norm_epsilon=config.layer_norm_epsilon,
                initializer_range=config.initializer_range,
            )
        )
        ours.load_state_dict(model.base_model.state_dict())
        return ours
