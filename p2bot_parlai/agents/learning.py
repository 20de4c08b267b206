"""What the agents that learn have in common."""

import torch
from parlai.core.message import Message
from parlai.nn.lr_scheduler import ParlAILRScheduler

from p2bot_parlai.agents.checkpoint import plain
from p2bot_parlai.errors import P2botError
from p2bot_parlai.schedule import LinearDecay


class Learner:
    """
    Plain Adam, and a linear decay that follows the progress of the run.

    To be named before ParlAI's TorchAgent among the bases.
    """

    scheduler: ParlAILRScheduler | None = None

    def observe(self, observation):
        """An empty list of labels is no label."""
        for name in ("labels", "eval_labels"):
            if name in observation and not observation[name]:
                observation = Message({k: v for k, v in observation.items() if k != name})
        return super().observe(observation)

    @classmethod
    def optim_opts(cls):
        """ParlAI's "adam" is AMSGrad; the paper's is Adam."""
        return {**super().optim_opts(), "adam": _plain_adam}

    def init_optim(self, params, optim_states=None, saved_optim_type=None, is_finetune=False):
        """:raises P2botError: for an optimizer that cannot be made, or go on where it was."""
        try:
            return super().init_optim(params, optim_states, saved_optim_type, is_finetune)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise P2botError(
                f"--optimizer {self.opt['optimizer']} cannot be made of its options, or of its "
                f"saved state ({error}): check --learningrate, --betas and the like, or begin anew "
                "with --init-model"
            ) from error

    def build_lr_scheduler(self, states=None, hard_reset: bool = False):
        if self.opt["lr_scheduler"] != "linear":
            super().build_lr_scheduler(states, hard_reset)
            return
        self.scheduler = LinearDecay(
            self.optimizer, self.opt["warmup_updates"], self.opt["warmup_rate"]
        )
        states = {} if hard_reset else (states or {})
        self.scheduler._init_warmup_scheduler(self.optimizer, states, hard_reset)
        if states.get("lr_scheduler_type") == "linear":
            self.scheduler.load_state(states)
            self._number_training_updates = self.scheduler.get_initial_number_training_updates()

    def state_dict(self) -> dict:
        """Plain data and tensors alone: `read_model_file` refuses anything else."""
        states = super().state_dict()
        return {"model": states.pop("model"), **plain(states)}

    def set_progress(self, share: float) -> None:
        """The training loop says how much of the run is done, 0 to 1."""
        if isinstance(self.scheduler, LinearDecay):
            self.scheduler.follow(share)


def _plain_adam(params, amsgrad=False, **kwargs):
    return torch.optim.Adam(params, **kwargs)
