"""Which agents are ours, and what the training loop asks of them."""

from typing import Protocol, TypeGuard

from parlai.core.opt import Opt

PACKAGE = "p2bot_parlai."


class TrainableAgent(Protocol):
    """
    An agent class of ours, as `training_loop` sees it.

    :param run_state: plain data about the run, saved with the weights.
    :param reads_whole_dialogues: whether a message may hold a whole dialogue (`mutators`).
    """

    run_state: dict
    reads_whole_dialogues: bool

    @staticmethod
    def check_training(opt: Opt) -> None:
        """Called before a training run loads anything. :raises P2botError: what cannot work."""

    def begin_training(self) -> None:
        """Called when the agent is built."""

    def set_progress(self, share: float) -> None:
        """How much of the run is done, 0 to 1; called before every update."""


def is_ours(kind: type | None) -> TypeGuard[type[TrainableAgent]]:
    """Whether an agent class is of this package, or extends one that is."""
    return kind is not None and any(base.__module__.startswith(PACKAGE) for base in kind.__mro__)
