"""
log p(x) of responses that are read behind an empty context, for their mutual information with a
context: log p(x | s) - log p(x) (Li et al., 2016).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from p2bot_parlai.method.context_style import ContextStyle
from p2bot_parlai.method.layout import lay_out
from p2bot_parlai.method.pieces import pieces
from p2bot_parlai.method.transmitter import (
    Transmitter,
    log_likelihood,
    scatter_to_mask,
    token_log_likelihood,
)

TOGETHER = 4096  # tokens that are read at once
KEPT = 100_000  # responses


class ReadAlone:
    """
    Each response is read once: candidates come again in other contexts.

    :param network: read without dropout. :param style: of its contexts.
    """

    def __init__(self, network: Transmitter, style: ContextStyle[int]):
        self.network, self.style = network, style
        self._known: dict[tuple[int, ...], float] = {}
        self._weights: tuple = ()

    def __call__(self, responses: Sequence[Sequence[int]]) -> Tensor:
        """:param responses: M, as ids. :return: log p(x) of each, (M,)."""
        if self._weights != (weights := self.network.weights_version()):
            self._known, self._weights = {}, weights
        keys = [tuple(response) for response in responses]
        unknown = list(dict.fromkeys(key for key in keys if key not in self._known))
        if len(self._known) + len(unknown) > KEPT:
            self._known, unknown = {}, list(dict.fromkeys(keys))
        for rows in pieces([len(key) for key in unknown], TOGETHER):
            part = [unknown[row] for row in rows]
            self._known |= zip(part, self._read(part), strict=True)
        return torch.tensor([self._known[key] for key in keys], device=self.network.device)

    @torch.no_grad()
    def _read(self, responses: Sequence[tuple[int, ...]]) -> list[float]:
        branches = lay_out([[list(ids)] for ids in responses], self.style).to(self.network.device)
        nothing = self.network.nothing_read().select(torch.zeros(len(responses), dtype=torch.long))
        hidden, _ = self.network.read(branches, nothing)
        mask = branches.target_mask
        logits = self.network.output(hidden[branches.target_index[mask]])
        scores = token_log_likelihood(logits, branches.targets[mask])
        return log_likelihood(scatter_to_mask(scores, mask), mask).tolist()
