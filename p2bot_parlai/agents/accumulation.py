"""One update from several batches, in pieces: ``--update-freq`` and ``--tokens-per-batch``."""

import contextlib
from collections.abc import Callable, Mapping, Sequence

import torch
from parlai.core.metrics import Metric
from parlai.core.opt import Opt
from parlai.utils.distributed import is_distributed
from torch import Tensor

from p2bot_parlai.method.pieces import tokens_that_fit
from p2bot_parlai.parlai_support.batches import Batch

# computes a term of the loss of an update
Loss = Callable[[], Tensor]


def token_budget(opt: Opt, network: torch.nn.Module, width: int, vocabulary: int = 0) -> int:
    """
    ``--tokens-per-batch``; 0: no limit. Its default follows a GPU's memory.

    :param width: of a token's vector. :param vocabulary: of the logits, where there are any.
    """
    first = next(network.parameters())
    if opt["tokens_per_batch"] >= 0 or not first.is_cuda:
        return max(0, opt["tokens_per_batch"])
    memory = torch.cuda.get_device_properties(first.device).total_memory
    weights = [*network.parameters(), *network.buffers()]  # a quantised base is of buffers
    held = sum(w.numel() * (16 if w.requires_grad else w.element_size()) for w in weights)
    return tokens_that_fit(memory, held, sum(w.numel() for w in weights), width, vocabulary)


class Accumulating:
    """
    Beside `Learner`, and named before it: an update of several batches is that of one large batch.

    ParlAI takes the gradient of each batch's own mean, so that a token of a short batch weighs more
    than one of a long batch. Here batches are held until the last of an update is there; only then
    is it known what the sums are divided by.
    """

    def losses(self, batches: Sequence[Batch]) -> list[Loss]:
        """
        Terms whose sum is the loss of one update.

        They are called in this order, each once an update, and the graph of one is freed before the
        next: what is computed at once is the memory that an update needs. None may wait for other
        processes, whose terms may be more or fewer. Metrics are recorded with `record_learnt`.
        """
        raise NotImplementedError

    def train_step(self, batch: Batch):
        self._held = [*self._held, batch]
        self._number_grad_accum = len(self._held) % self.opt["update_freq"]
        if self._number_grad_accum:
            return
        batches, self._held = self._held, []
        self.learn(self.losses(batches))

    def learn(self, losses: Sequence[Loss]) -> None:
        """One update."""
        self.zero_grad()
        self.model.train()
        for number, loss in enumerate(losses, start=1):
            waits = is_distributed() and number < len(losses)
            # gradients are averaged over processes once
            with self.model.no_sync() if waits else contextlib.nullcontext():
                loss().backward()
        self.update_params()

    def record_learnt(
        self, metrics: Mapping[str, Sequence[Metric | None]], messages: Sequence[int], count: int
    ) -> None:
        """
        Add metrics of examples to those of the messages that ParlAI now takes metrics for.

        :param metrics: values of each example. :param messages: which one of its batch each example
            belongs to. :param count: messages of the last batch of the update.
        """
        for name, values in metrics.items():
            known = self._local_metrics.setdefault(name, [None] * count)
            for message, value in zip(messages, values, strict=True):
                if value is not None:
                    known[message % count] = known[message % count] + value
