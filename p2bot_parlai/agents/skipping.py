"""Batches that are not learnt from, because they would break the weights or do not fit."""

import torch
from parlai.core.message import Message
from parlai.core.metrics import SumMetric
from parlai.utils import logging
from parlai.utils.distributed import is_distributed

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support import batches

# batches in a row that were skipped, after which a run is given up
PATIENCE = 10


class Skipping:
    """
    Beside an agent of ParlAI's, and named before it; see `learning.Learner`.

    A batch is skipped where its gradient is infinite or not a number, or where it does not fit in
    memory; the report counts ``skipped_updates`` and ``skipped_batches``, the log says why.
    """

    # what makes a batch smaller, for the message
    smaller: tuple[str, ...] = ("batchsize", "text_truncate")
    _skipped = 0
    _held: list[batches.Batch] = []  # of the next update, see `Accumulating`

    def update_params(self):
        """
        :raises P2botError: after `PATIENCE` batches in a row whose gradient is not a number.
        """
        whole = self._number_grad_accum == 0  # of --update-freq batches
        if whole and not _finite(self.model):
            remedy = "lower --learningrate"
            if "precision" in self.opt and self.precision == "bf16":
                remedy += ", or use --precision fp32"
            self._skip(
                "skipped_updates", "the gradient of a batch is infinite or not a number", remedy
            )
            return
        super().update_params()
        if whole:
            self._skipped = 0

    def train_step(self, batch):
        """For generators. Unlike ParlAI's, it leaves running out of memory to `batch_act`."""
        self.model.train()
        self.zero_grad()
        self.backward(self.compute_loss(batch))
        self.update_params()

    def batch_act(self, observations):
        """:raises P2botError: where memory runs out in evaluation, or repeatedly in training."""
        try:
            return super().batch_act(observations)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
        # from here on nothing holds the tensors of the batch: the exception is gone
        what = f"out of memory with {_size(observations)}"
        larger = (name for name in self.smaller if self.opt[name] > 1)
        remedy = "lower " + " or ".join(f"--{n.replace('_', '-')}" for n in larger)
        if self.is_training and "tokens_per_batch" in self.opt:
            remedy = f"give a smaller --tokens-per-batch, or {remedy}"
        if not self.is_training or is_distributed():  # other processes wait for the gradient
            raise P2botError(f"{what}: {remedy}")
        self._number_grad_accum, self._held = 0, []
        self.zero_grad()
        self._local_metrics.clear()
        self._skip("skipped_batches", what, remedy)
        nothing = {"id": self.getID(), "episode_done": False}
        return [Message(nothing) for _ in observations]

    def _skip(self, metric: str, why: str, remedy: str) -> None:
        self._skipped += 1
        self.global_metrics.add(metric, SumMetric(1))
        if self._skipped >= PATIENCE:
            raise P2botError(f"{PATIENCE} batches in a row were skipped, {why}: {remedy}")
        logging.warning(f"{why}: the batch is skipped; if it happens often, {remedy}")


def _finite(network: torch.nn.Module) -> bool:
    found = [p.grad for p in network.parameters() if p.grad is not None]
    return bool(torch.nn.utils.get_total_norm(found).isfinite()) if found else True


def _out_of_memory(error: BaseException) -> bool:
    """Of Python, of a GPU (torch.OutOfMemoryError), or of torch's allocator of main memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "DefaultCPUAllocator: can't allocate memory" in str(error)


def _size(observations) -> str:
    """Rows of a batch, and how long the longest is where they are texts."""
    lengths = [len(seen["text_vec"]) for seen in observations if "text_vec" in seen]
    rows = f"{len(observations)} row" + "s" * (len(observations) != 1)
    return rows + (f" of up to {max(lengths)} tokens" if lengths else "")
