"""
Searches for responses, as tensors: greedy, beam, top-k and nucleus. B rows, b of them unfinished,
K hypotheses each, R tokens at most, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from p2bot_parlai.method.chance import Chance, held_by_each

DEAD = -1e20  # log-probability of what cannot be, as in ParlAI


class Hypothesis(NamedTuple):
    """
    :param tokens: int, from the start token to [EOS].
    :param score: normalised by length. :param details: of each token, where a search notes them.
    """

    tokens: Tensor
    score: Tensor
    details: list | None = None


class Advance(NamedTuple):
    """
    One step of a search.

    :param tokens: the newest, int (b, K). :param parents: which hypothesis each goes on from,
        int (b, K). :param done: bool (b,).
    """

    tokens: Tensor
    parents: Tensor
    done: Tensor


class Search(Protocol):
    """Those of B rows."""

    def advance(self, log_p: Tensor, rows: Tensor) -> Advance:
        """
        :param log_p: of the next token, float (b, K, V), at first (b, 1, V); may be written to.
        :param rows: the unfinished ones, int (b,).
        """
        ...

    def finished(self) -> list[list[Hypothesis]]:
        """Of each row, the best first; at least one."""
        ...


# -------------------------------------------------------------------- how hypotheses go on
# From probabilities (b, K, V) to tokens (b, K).
Draw = Callable[[Tensor], Tensor]
# From log-probabilities (b, K, V) and scores so far (b, K), at first (b, 1), to tokens,
# parents and scores, each (b, K).
Choose = Callable[[Tensor, Tensor, Draw], tuple[Tensor, Tensor, Tensor]]


def greedy(log_p: Tensor, scores: Tensor, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
    """With the likeliest token."""
    best, tokens = log_p.max(dim=-1)
    return tokens, _own(tokens), scores + best


def beam(log_p: Tensor, scores: Tensor, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest K of all K * V."""
    size, vocabulary = log_p.shape[1:]
    total = log_p[:, : scores.shape[1]].add_(scores[:, :, None])  # in place: B * K * V is large
    best, index = total.flatten(1).topk(size, dim=1)
    return index % vocabulary, index // vocabulary, best


def top_k(log_p: Tensor, scores: Tensor, draw: Draw, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """With a token drawn from the likeliest k (Fan et al., 2018)."""
    values, tokens = log_p.topk(k, dim=-1)
    drawn = draw(values.softmax(dim=-1))
    return _at(tokens, drawn), _own(drawn), scores + _at(values, drawn)


def nucleus(log_p: Tensor, scores: Tensor, draw: Draw, p: float) -> tuple[Tensor, Tensor, Tensor]:
    """With a token drawn from the likeliest that have p together (Holtzman et al., 2019)."""
    probs, tokens = log_p.softmax(dim=-1).sort(dim=-1, descending=True)
    probs = probs.masked_fill(probs.cumsum(dim=-1) - probs >= p, 0)
    probs = probs / probs.sum(dim=-1, keepdim=True)
    drawn = draw(probs)
    return _at(tokens, drawn), _own(drawn), scores + _at(probs, drawn).log()


def _own(tokens: Tensor) -> Tensor:
    """Parents where each hypothesis goes on from itself."""
    return torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)


def _at(values: Tensor, index: Tensor) -> Tensor:
    """(b, K, V) and (b, K) -> (b, K)."""
    return values.gather(-1, index[:, :, None])[:, :, 0]


@dataclass
class TensorSearch:
    """
    Does what ParlAI's search of one row does, for all rows at once. A hypothesis that has ended
    is kept and not continued. A row is done when K have ended, and the best of some step has.

    :param choose: how hypotheses go on. :param shape: R, B, K.
    :param start: the token before a response. :param min_length: tokens before [EOS].
    :param length_penalty: see `finished`. :param chances: see `held_by_each`.
    """

    choose: Choose
    shape: tuple[int, int, int]
    start: int
    eos: int
    min_length: int
    length_penalty: float
    device: torch.device
    chances: Sequence[Chance] = ()

    def __post_init__(self) -> None:
        self.tokens = torch.zeros(self.shape, dtype=torch.long, device=self.device)
        self.parents = torch.zeros_like(self.tokens)
        self.scores = torch.full(self.shape, DEAD, device=self.device)  # summed log-probabilities
        self.step = 0

    def advance(self, log_p: Tensor, rows: Tensor) -> Advance:
        step = self.step
        if step < self.min_length:
            log_p[..., self.eos] = DEAD
        if step == 0:
            scores = log_p.new_zeros(len(rows), 1)
        else:
            over = self.tokens[step - 1, rows] == self.eos
            scores = self.scores[step - 1, rows].masked_fill(over, DEAD)
        log_p, draw = log_p.expand(-1, self.shape[2], -1), partial(self._draw, rows)
        tokens, parents, scores = self.choose(log_p, scores, draw)
        self.tokens[step, rows], self.parents[step, rows] = tokens, parents
        self.scores[step, rows] = scores
        self.step += 1
        ends, ended = self._ends(rows)
        best_ended = ends[:, :, 0].any(dim=0)
        return Advance(tokens, parents, best_ended & (ended.sum(dim=(0, 2)) >= self.shape[2]))

    def _draw(self, rows: Tensor, probs: Tensor) -> Tensor:
        """Row by row: with the random numbers of ParlAI's searches."""
        drawn = []
        for own, chance in zip(probs, held_by_each(self.chances, rows), strict=False):
            with chance:
                drawn.append(torch.multinomial(own, 1)[:, 0])
        return torch.stack(drawn)

    def _ends(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """bool (steps, b, K): where [EOS] is, and where it ends a hypothesis."""
        ends = self.tokens[: self.step, rows] == self.eos
        return ends, ends & ~(self.scores[: self.step, rows] <= DEAD)  # or nan

    def finished(self) -> list[list[Hypothesis]]:
        """
        By the score log p / ((2 + |x|) / 6) ** length_penalty; |x| counts [EOS]. (ParlAI's: Wu
        et al., 2016, Eq. 14, have 5.) Where none has ended, the best ends in place of its last
        token.
        """
        ended, tokens = self._ends(slice(None))[1].cpu(), self.tokens.cpu()
        none = ~ended.any(dim=2).any(dim=0)
        ended[-1, none, 0] = True
        tokens[self.step - 1, none, 0] = self.eos
        lengths = [((step + 3) / 6) ** self.length_penalty for step in range(self.step)]
        scores = self.scores[: self.step].cpu() / torch.tensor(lengths)[:, None, None]
        said, parents = tokens.tolist(), self.parents.tolist()
        found: list[list[Hypothesis]] = []
        for row in range(len(none)):
            found.append([])
            for step, last in ended[:, row].nonzero().tolist():
                ids, hypothesis = [], last
                for back in range(step, -1, -1):
                    ids.append(said[back][row][hypothesis])
                    hypothesis = parents[back][row][hypothesis]
                ids.append(self.start)
                found[row].append(Hypothesis(torch.tensor(ids[::-1]), scores[step, row, last]))
            found[row].sort(key=attrgetter("score"), reverse=True)
        return found
