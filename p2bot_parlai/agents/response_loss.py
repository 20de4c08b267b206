"""The Transmitter's loss of responses that were read, and the metrics of each."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from parlai.core.metrics import AverageMetric
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from p2bot_parlai.agents.batches import SupervisedBatch
from p2bot_parlai.agents.perplexity import Perplexity
from p2bot_parlai.method import transmitter
from p2bot_parlai.method.transmitter import scatter_to_mask


class Counts(NamedTuple):
    """What the sums of an update are divided by; see `share_of_all`."""

    tokens: Tensor
    with_distractors: Tensor


def counted(parts: Sequence[SupervisedBatch]) -> Tensor:
    """int (2,): tokens of the responses, and how many of them have distractors."""
    tokens = sum(len(response) for part in parts for response in part.responses if response)
    rows = sum(1 for part in parts for found in part.distractors if found)
    return torch.tensor([tokens, rows])


class ResponseLoss(NamedTuple):
    """:param metrics: of each response. :param best: the likeliest tokens (K,)."""

    value: Tensor
    metrics: dict[str, list]
    best: Tensor


def response_loss(
    own: SupervisedBatch,
    targets: Tensor,
    mask: Tensor,
    logits: Tensor,
    scores: Tensor,
    counts: Counts,
    nup_coef: float,
) -> ResponseLoss:
    """
    Mean negative log-likelihood per token (Eq. 1) + nup_coef * next-utterance loss.

    :param targets: int (B, R). :param mask: bool (B, R), the K real tokens.
    :param logits: (K, V). :param scores: (N,) of [CLS]: of each response, then its distractors.
    """
    best = logits.argmax(-1)
    token_scores = transmitter.token_log_likelihood(logits, targets[mask])
    token_scores = scatter_to_mask(token_scores, mask)
    hits = scatter_to_mask(best == targets[mask], mask)
    metrics = _language_metrics(own, token_scores.detach(), hits, mask)
    loss = -token_scores.sum() / counts.tokens
    loss = loss + 0 * scores.sum()  # the head is in the graph of every worker
    if nup_coef > 0:
        nup, found = _next_utterance(own.distractors, scores)
        loss = loss + nup_coef * (nup.sum() / counts.with_distractors.clamp(min=1e-9))
        metrics |= found
    return ResponseLoss(loss, metrics, best)


def _language_metrics(own: SupervisedBatch, token_scores: Tensor, hits, mask) -> dict[str, list]:
    """
    :param token_scores: (B, R). :param hits: bool (B, R), which tokens are the likeliest.
    """
    losses = -token_scores
    metrics = {
        "loss": AverageMetric.from_mask(losses, mask),
        "ppl": Perplexity.from_mask(losses, mask),
        # the same over words: comparable across tokenizers
        "ppl_word": Perplexity.many(losses.sum(dim=1).tolist(), own.words),
        "token_acc": AverageMetric.from_mask(hits, mask),
        "token_em": AverageMetric.many((hits == mask).all(dim=1).tolist()),
    }
    labelled = [response is not None for response in own.responses]
    return {
        name: [value if has else None for value, has in zip(values, labelled, strict=True)]
        for name, values in metrics.items()
    }


def _next_utterance(distractors: list, scores: Tensor) -> tuple[Tensor, dict[str, list]]:
    """The losses of the [CLS] head, of the rows that have distractors; scores is (N,)."""
    counts = [len(found) for found in distractors]
    padded = pad_sequence(scores.split([1 + count for count in counts]), batch_first=True)
    right_score, wrong = padded[:, 0], padded[:, 1:]  # (B,), (B, K)
    mask = torch.arange(wrong.shape[1]) < torch.tensor(counts)[:, None]
    rows = [row for row, count in enumerate(counts) if count]
    mask, wrong = mask[rows].to(scores.device), wrong[rows]
    nup = transmitter.next_utterance_loss(right_score[rows], wrong, mask)
    better = ((right_score[rows, None] > wrong) & mask).sum(dim=1) / mask.sum(dim=1)
    metrics: dict[str, list] = {}
    for name, found in (("nup_loss", nup), ("nup_acc", better)):
        metrics[name] = [None] * len(counts)
        for row, value in zip(rows, found.tolist(), strict=True):
            metrics[name][row] = AverageMetric(value)
    return nup, metrics
