"""What follows the progress of training: the learning rate here, tau in the Receiver."""

from parlai.nn.lr_scheduler import ParlAILRScheduler
from torch.optim.lr_scheduler import LambdaLR


class LinearDecay(ParlAILRScheduler):
    """
    Learning rate from its full value to 0 over the whole run.

    ParlAI's own linear scheduler needs ``--max-train-steps``; the paper counts epochs.
    This one follows `progress`, the share of the run that is done, however the run is
    limited; `p2bot_parlai.train_loop` sets it before every step.
    """

    def __init__(self, optimizer, warmup_updates: int = -1, warmup_rate: float = 1e-4):
        super().__init__(warmup_updates, warmup_rate)
        self.optimizer = optimizer
        self.progress = 0.0
        self.scheduler = LambdaLR(optimizer, lambda _: 1.0 - self.progress)

    def follow(self, progress: float) -> None:
        """Set the rate for the next update. :param progress: share of the run, 0 to 1."""
        self.progress = min(1.0, progress)
        if not self._is_lr_warming_up():
            for group, rate in zip(
                self.optimizer.param_groups, self.scheduler.base_lrs, strict=True
            ):
                group["lr"] = rate * (1.0 - self.progress)

    def train_step(self, scheduler_steps: int) -> None:
        self.scheduler.step()

    def valid_step(self, metrics_dict) -> None:
        """Validation does not change it."""
