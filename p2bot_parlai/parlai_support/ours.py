"""Which agents, tasks and runs are ours, and what the training loop asks of an agent."""

from typing import Protocol, TypeGuard

from parlai.core import params
from parlai.core.loader import load_agent_module
from parlai.core.opt import Opt

from p2bot_parlai.parlai_support.names import SHORT_NAME

PACKAGE = "p2bot_parlai."
READER = "p2bot_reader"  # key of an opt: which task of ours reads the data of another


class TrainableAgent(Protocol):
    """
    An agent class of ours, as `training_loop` sees it.

    :param run_state: plain data about the run, saved with the weights.
    :param provenance: likewise, see `provenance`.
    :param reads_whole_dialogues: whether a message may hold a whole dialogue (`mutators`).
    """

    run_state: dict
    provenance: dict
    reads_whole_dialogues: bool

    @classmethod
    def check_training(cls, opt: Opt) -> None:
        """Called before a training run loads anything. :raises P2botError: what cannot work."""

    def begin_training(self) -> None:
        """Called when the agent is built."""

    def set_progress(self, share: float) -> None:
        """How much of the run is done, 0 to 1; called before every update."""

    def reason_to_stop(self) -> str | None:
        """Why training shall end now, or None; the same on all processes."""


def is_ours(kind: type | None) -> bool:
    """Whether an agent class is of this package, or extends one that is."""
    return kind is not None and any(base.__module__.startswith(PACKAGE) for base in kind.__mro__)


def is_trainable(kind: type | None) -> TypeGuard[type[TrainableAgent]]:
    """Whether an agent class is ours and learns; the rankers without weights do not."""
    return is_ours(kind) and hasattr(kind, "set_progress")


def agent_of(opt: dict) -> type | None:
    """The agent class that ``--model`` names, or else the .opt of ``--model-file``."""
    name = params.get_model_name(opt)
    return load_agent_module(name) if name else None


def concerns_us(opt: dict) -> bool:
    """Whether a run is with a task or an agent of ours."""
    tasks = f"{opt.get('task')},{opt.get('evaltask')},{opt.get(READER)}".split(",")
    if any(task.strip().split(":")[0] == SHORT_NAME for task in tasks):
        return True
    return is_ours(agent_of(opt))
