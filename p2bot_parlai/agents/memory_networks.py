"""
The memories of Zhang et al. (2018), "Personalizing Dialogue Agents: I have a dog, do you have
pets too?", section 4: two baselines of the paper's Table 1.

The functions are the memory; the modules give them their encodings. Shapes: B dialogues,
P profile sentences each, L tokens, K key-value pairs, C candidates, E width of embeddings.
"""

from collections.abc import Sequence

import torch
from parlai.core.torch_generator_agent import TorchGeneratorModel
from torch import Tensor, nn
from torch.nn import functional


# ------------------------------------------------------------------------- the memory
def word_weights(counts: Sequence[int]) -> Tensor:
    """
    1 / (1 + log(1 + tf)): what a token counts in the encoding of a sentence.

    :param counts: tf of each token in the corpus. :return: (V,).
    """
    return 1 / (1 + torch.tensor(counts, dtype=torch.float).log1p())


def weighted_sum(embedded: Tensor, weights: Tensor) -> Tensor:
    """f(p) = sum_j alpha_j p_j: (..., L, E) and (..., L), 0 on padding -> (..., E)."""
    return (weights[..., None] * embedded).sum(dim=-2)


def read_memory(scores: Tensor, mask: Tensor, values: Tensor) -> Tensor:
    """
    sum_i softmax(scores)_i values_i over the real entries; 0 for an empty memory.

    :param scores: (B, M). :param mask: bool, broadcast to (B, M).
    :param values: (B, M, E), or (M, E) if all rows read the same memory.
    :return: (B, E).
    """
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    attention = torch.softmax(scores, dim=-1) * mask
    if values.dim() == 2:
        return attention @ values
    return (attention[:, None] @ values).squeeze(1)


def embeddings(size: int, width: int, pad: int) -> nn.Embedding:
    """A table of vectors of length about 1, so that steps of Adam move them; padding is 0."""
    table = nn.Embedding(size, width, padding_idx=pad)
    with torch.no_grad():
        nn.init.normal_(table.weight, std=width**-0.5)
        table.weight[pad].zero_()
    return table


# ------------------------------------------------------ generative profile memory
class HistoryEncoder(nn.Module):
    """
    The LSTM over the history, and the encoded profile sentences F.

    It returns ``(F (B, P, E), mask bool (B, P), h (B, H), c (B, H))``. Step by step: torch's
    LSTM over packed rows of unequal length takes time that is quadratic in their length.
    """

    def __init__(self, embed: nn.Embedding, hidden: int, dropout: float, weights: Tensor):
        super().__init__()
        self.embed, self.pad = embed, embed.padding_idx
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTMCell(embed.embedding_dim, hidden)
        self.register_buffer("weights", weights)

    def forward(self, history: Tensor, profile: Tensor):
        """
        :param history: int (B, T), padded at the end; a padded place leaves the state alone.
        :param profile: int (B, P, L); padding alone is no sentence.
        """
        embedded = self.dropout(self.embed(history))
        h = c = embedded.new_zeros(len(history), self.lstm.hidden_size)
        real = (history != self.pad)[..., None]
        for x, there in zip(embedded.unbind(dim=1), real.unbind(dim=1), strict=True):
            new_h, new_c = self.lstm(x, (h, c))
            h, c = torch.where(there, new_h, h), torch.where(there, new_c, c)
        real = profile != self.pad
        memory = weighted_sum(self.embed(profile), self.weights[profile] * real)
        return memory, real.any(dim=-1), h, c


class MemoryDecoder(nn.Module):
    """
    An LSTM whose every input is mixed with what its last state reads in the profile::

        a_t = softmax(F W_a h_t)    c_t = a_t F    input_t = tanh(W_c [c_{t-1}, x_t])
    """

    def __init__(self, embed: nn.Embedding, hidden: int, dropout: float):
        super().__init__()
        width = embed.embedding_dim
        self.embed = embed
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTMCell(width, hidden)
        self.query = nn.Linear(hidden, width, bias=False)  # W_a
        self.combine = nn.Linear(2 * width, width, bias=False)  # W_c

    def forward(self, tokens: Tensor, states, incremental=None):
        """
        :param tokens: int (B, T), what was said. :param incremental: (h, c) before the last
            token, to read that one alone; None to read all.
        :return: hidden states (B, T, H), and (h, c), each (B, H).
        """
        memory, mask, h, c = states
        if incremental is not None:
            tokens, (h, c) = tokens[:, -1:], incremental
        found = []
        for x in self.dropout(self.embed(tokens)).unbind(dim=1):
            scores = (memory @ self.query(h)[:, :, None]).squeeze(-1)  # (B, P)
            read = read_memory(scores, mask, memory)
            h, c = self.lstm(torch.tanh(self.combine(torch.cat([read, x], dim=-1))), (h, c))
            found.append(h)
        return torch.stack(found, dim=1), (h, c)


class GenerativeProfileMemory(TorchGeneratorModel):
    """
    Seq2Seq whose decoder attends over the profile sentences; without any it is Seq2Seq.

    :param weights: (V,), see `word_weights`.
    """

    def __init__(self, weights: Tensor, embedding, hidden, dropout, pad, start, end):
        super().__init__(padding_idx=pad, start_idx=start, end_idx=end)
        embed = embeddings(len(weights), embedding, pad)
        self.encoder = HistoryEncoder(embed, hidden, dropout, weights)
        self.decoder = MemoryDecoder(embed, hidden, dropout)
        self.project = nn.Linear(hidden, embedding)
        self.dropout = nn.Dropout(dropout)

    def output(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits, by the embeddings: (..., H) -> (..., V)."""
        return functional.linear(self.dropout(self.project(hidden)), self.decoder.embed.weight)

    def reorder_encoder_states(self, states, indices):
        indices = torch.as_tensor(indices, device=states[0].device)
        return tuple(state.index_select(0, indices) for state in states)

    def reorder_decoder_incremental_state(self, incremental, inds):
        return tuple(state.index_select(0, inds) for state in incremental)


# ------------------------------------------------------- key-value profile memory
class KeyValueProfileMemory(nn.Module):
    """
    Ranks responses by similarity to the history, after a hop over the profile and a hop over
    dialogues that were seen in training::

        q+  = q  + sum_i softmax(sim(q,  p_i)) p_i     p: profile sentences
        q++ = q+ + sum_j softmax(sim(q+, k_j)) v_j     k: histories, v: their responses

    ``sim`` is the cosine times a learnt temperature. Histories, profile and keys are encoded
    by one table, responses and values by another.

    :param weights: (V,), see `word_weights`.
    """

    def __init__(self, weights: Tensor, embedding: int, pad: int, dropout: float):
        super().__init__()
        self.pad = pad
        self.said = embeddings(len(weights), embedding, pad)
        self.responses = embeddings(len(weights), embedding, pad)
        self.dropout = nn.Dropout(dropout)
        self.log_sharpness = nn.Parameter(torch.tensor(10.0).log())
        self.register_buffer("weights", weights)

    @property
    def sharpness(self) -> Tensor:
        return self.log_sharpness.exp()

    def encode(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        """Texts as unit vectors: int (..., L) -> (..., E); 0 for padding alone."""
        weights = self.weights[ids] * (ids != self.pad)
        return functional.normalize(weighted_sum(self.dropout(table(ids)), weights), dim=-1)

    def hop(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """
        query + what it reads, again a unit vector: (B, E).

        :param keys: (B, M, E), or (M, E) for all rows alike. :param values: alike.
        :param mask: bool (B, M) or (M,), which are there.
        """
        similar = query @ keys.T if keys.dim() == 2 else (keys @ query[:, :, None]).squeeze(-1)
        read = read_memory(self.sharpness * similar, mask, values)
        return functional.normalize(query + read, dim=-1)

    def query(self, history: Tensor, profile: Tensor, pairs=None) -> Tensor:
        """
        :param history: int (B, T). :param profile: int (B, P, L).
        :param pairs: encoded keys and values, each (K, E); None leaves the second hop out.
        :return: q++ (or q+), (B, E).
        """
        sentences = self.encode(self.said, profile)
        there = (profile != self.pad).any(dim=-1)
        query = self.hop(self.encode(self.said, history), sentences, sentences, there)
        if pairs is None:
            return query
        keys, values = pairs
        all_there = torch.ones(len(keys), dtype=torch.bool, device=keys.device)
        return self.hop(query, keys, values, all_there)

    def score(self, query: Tensor, candidates: Tensor) -> Tensor:
        """
        :param query: (B, E). :param candidates: encoded, (C, E) or (B, C, E).
        :return: (B, C).
        """
        if candidates.dim() == 2:
            return self.sharpness * query @ candidates.T
        return self.sharpness * (candidates @ query[:, :, None]).squeeze(-1)
