"""
The Receiver (paper, section 4, Figure 5): how strongly do utterances reveal a persona?

The functions are the equations; the module gives them their sentence vectors. Shapes: B
dialogues, C personas each, N utterances, L profile sentences, d width of a sentence
vector; every function takes any number of leading batch dimensions (``...``).
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from p2bot_parlai.method.backbones.encoder import SentenceEncoder


# --------------------------------------------------------------------- the equations
def relevance(H: Tensor, W: Tensor) -> Tensor:
    """
    Eq. 11: U = H W^T / sqrt(d).

    :param H: impression encodings (..., N, d). :param W: persona encodings (..., L, d).
    :return: (..., N, L)
    """
    return H @ W.transpose(-1, -2) / math.sqrt(H.shape[-1])


def aggregate(U: Tensor, mask: Tensor, tau: float) -> Tensor:
    """
    Eq. 13: Agg(U_n) = sum_k exp(U_nk / tau) U_nk / sum_k exp(U_nk / tau).

    Close to the mean over the profile sentences for a large tau, to the maximum for a small one.

    :param U: (..., N, L). :param mask: bool, broadcastable to U; False marks padding,
        which gets no weight.
    :param tau: temperature, above 0.
    :return: (..., N); 0 without profile sentences.
    """
    weight = (U / tau).masked_fill(~mask, torch.finfo(U.dtype).min).softmax(dim=-1)
    return (weight * U).masked_fill(~mask, 0.0).sum(dim=-1)


def cumulative_score(aggregated: Tensor, mask: Tensor) -> Tensor:
    """
    Eq. 14: c = 1/N sum_n Agg(U_n).

    :param aggregated: (..., N). :param mask: bool (..., N), the real utterances.
    :return: (...); 0 without utterances.
    """
    total = aggregated.masked_fill(~mask, 0.0).sum(dim=-1)
    return total / mask.sum(dim=-1).clamp(min=1)


def margin_loss(c_true: Tensor, c_distractor: Tensor, margin: float) -> Tensor:
    """The first term of Eq. 12: max(0, m + c^Z - c^A), for each pair: (...) -> (...)."""
    return (margin + c_distractor - c_true).clamp(min=0)


def sparsity(U: Tensor, mask: Tensor) -> Tensor:
    """
    ||U||_1 of Eq. 12, the sum of absolute entries.

    :param U: (..., N, L). :param mask: bool, broadcastable to U; padding does not count.
    :return: (...)
    """
    return U.abs().masked_fill(~mask, 0.0).sum(dim=(-2, -1))


def score(h: Tensor, W: Tensor, mask: Tensor, tau: float) -> Tensor:
    """
    Eq. 15: Agg(h W^T) / sqrt(d), the persona perception score of one utterance.

    As printed: Agg is given the unscaled products. It is thus sharper than in training, like
    `aggregate` of Eq. 11 with tau / sqrt(d).

    :param h: impression encodings (..., d), one utterance each. :param W: (..., L, d).
    :param mask: bool (..., L), the real profile sentences.
    :return: (...)
    """
    products = (h.unsqueeze(-2) @ W.transpose(-1, -2)).squeeze(-2)
    return aggregate(products, mask, tau) / math.sqrt(h.shape[-1])


# -------------------------------------------------- relevance as a probability (not in the paper)
def revealed(U: Tensor, slope: float, offset: float) -> Tensor:
    """
    P(an utterance reveals a profile sentence) = sigmoid(slope * U + offset); see `calibrate`.

    :param U: Eq. 11, any shape, without bounds. :return: the same shape, 0 to 1.
    """
    return torch.sigmoid(slope * U + offset)


def calibrate(own: Tensor, others: Tensor) -> tuple[float, float]:
    """
    Slope and offset of `revealed`: a logistic regression of whose a sentence is on U (Platt,
    1999, with his targets just short of 0 and 1, so that it ends where the two do not overlap).

    The probability is that a sentence is the speaker's own rather than one of the other people's:
    small talk, as relevant to these as to those, has about the share of ``own`` in all.

    :param own: the highest U in a dialogue of each of the speaker's profile sentences, (P,).
    :param others: likewise of other people's sentences, (Q,).
    """
    U = torch.cat([own, others]).double()
    middle, spread = U.mean(), U.std().clamp(min=1e-12)
    target = torch.cat(
        [
            torch.full((len(own),), (len(own) + 1) / (len(own) + 2), dtype=torch.double),
            torch.full((len(others),), 1 / (len(others) + 2), dtype=torch.double),
        ]
    ).to(U.device)
    line = U.new_zeros(2).requires_grad_(True)
    optimizer = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = line[0] * (U - middle) / spread + line[1]
        found = nn.functional.binary_cross_entropy_with_logits(scores, target)
        found.backward()
        return found

    with torch.enable_grad():
        optimizer.step(loss)
    slope = (line[0] / spread).item()
    return slope, line[1].item() - slope * middle.item()


# ----------------------------------------------- many dialogues, many personas, at once
def profile_scores(
    H: Tensor, spoken: Tensor, W: Tensor, personas: Tensor, tau: float
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Eq. 11, 13 and 14 for every dialogue and each of its candidate personas.

    A profile sentence may be in many personas; its relevance is computed once.

    :param H: (B, N, d). :param spoken: bool (B, N), the real utterances.
    :param W: (K, d), distinct profile sentences.
    :param personas: int (B, C, L), the rows of W that make each candidate; -1 pads.
    :return: cumulative scores c (B, C), relevance U (B, C, N, L), its mask.
    """
    B, C, L = personas.shape
    N = H.shape[1]
    every = relevance(H, W.expand(B, *W.shape))  # (B, N, K)
    rows = personas.clamp(min=0).view(B, 1, C * L).expand(B, N, C * L)
    U = every.gather(2, rows).view(B, N, C, L).transpose(1, 2)  # (B, C, N, L)
    mask = spoken[:, None, :, None] & (personas >= 0)[:, :, None, :]
    c = cumulative_score(aggregate(U, mask, tau), spoken[:, None, :].expand(B, C, N))
    return c, U, mask


def receiver_loss(
    c: Tensor, U: Tensor, mask: Tensor, allowed: Tensor, margin: float, beta: float
) -> tuple[Tensor, Tensor]:
    """
    Eq. 12: max(0, m + c^Z - c^A) and beta ||U||_1 over the matrices of A and of Z.

    With more than one distractor the first is the mean over them, and the second the sum
    over A's matrix and the mean distractor's: one distractor is exactly the paper's.

    :param c: (B, C), the true persona first. :param U: and :param mask: (B, C, N, L).
    :param allowed: bool (B, C), which candidates may be distractors of the dialogue.
    :return: the two terms, (B,) each
    """
    allowed = allowed.clone()
    allowed[:, 0] = False
    count = allowed.sum(dim=1).clamp(min=1)
    hinge = margin_loss(c[:, :1], c, margin).masked_fill(~allowed, 0.0).sum(dim=1) / count
    norm = sparsity(U, mask)  # (B, C)
    others = norm.masked_fill(~allowed, 0.0).sum(dim=1) / count
    return hinge, beta * (norm[:, 0] + others)


def softmax_loss(c: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """
    Instead of Eq. 12's margin, not in the paper: -log of the true persona's share of
    exp(c / temperature) among itself and its distractors. Close distractors weigh more than
    distant ones, unlike in the margin's mean.

    :param c: (B, C), the true persona first. :param allowed: bool (B, C), the distractors.
    :return: (B,)
    """
    counted = allowed.clone()
    counted[:, 0] = True
    scores = (c / temperature).masked_fill(~counted, -torch.inf)
    return scores.logsumexp(dim=1) - scores[:, 0]


# ------------------------------------------------------------------------ the network
class Receiver(nn.Module):
    """
    :param impression: encoder of utterances, see `p2bot_parlai.method.backbones.encoder`.
    :param persona: encoder of profile sentences; the same object if they are shared.
    """

    impression: SentenceEncoder
    persona: SentenceEncoder

    def __init__(self, impression: SentenceEncoder, persona: SentenceEncoder):
        super().__init__()
        self.impression = impression
        self.persona = persona

    @property
    def width(self) -> int:
        """d, the width of a sentence vector."""
        return self.impression.hidden_size

    def forward(
        self, utterances: Sequence[Sequence[int]], sentences: Sequence[Sequence[int]]
    ) -> tuple[Tensor, Tensor]:
        """
        Sentence vectors of distinct token sequences, in the order given.

        :param utterances: ids of each. :param sentences: ids of each.
        :return: (S, d) and (K, d)
        """
        return self.impression(utterances), self.persona(sentences)

    def merged(self) -> "Receiver":
        """With adapters in the weights of the encoders; this Receiver is used up."""
        if self.impression is self.persona:
            return build_receiver(lambda _: self.impression.merged(), shared=True)
        persona = copy.deepcopy(self.persona).merged()  # they may share a base
        return Receiver(self.impression.merged(), persona)


def build_receiver(encoder: Callable[[Any], Any], shared: bool) -> Receiver:
    """
    :param encoder: makes one, given another whose base it may share, or None.
    :param shared: one encoder for utterances and profile sentences.
    """
    first = encoder(None)
    return Receiver(first, first if shared else encoder(first))
