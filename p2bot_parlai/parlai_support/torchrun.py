"""
``torchrun --nproc-per-node N -m p2bot_parlai train_model ...``: N processes run one command.

torchrun tells each in its environment which one it is and where they meet, on one machine or
several. ParlAI's own launchers start the processes themselves, on this machine.
"""

import os

import torch
from parlai.core.opt import Opt
from parlai.core.script import ParlaiScript
from parlai.scripts import eval_model, train_model
from parlai.utils import distributed

from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support.patching import Patch

COMMANDS = (train_model.TrainModel, eval_model.EvalModel)


def install() -> None:
    """Let ParlAI's commands run in a group, in a process that torchrun started with others."""
    if processes() > 1:
        Patch(ParlaiScript, "_run_from_parser_and_opt", in_a_group).apply()
    Patch(eval_model, "_save_eval_stats", by_the_primary).apply()


def processes() -> int:
    """How many torchrun started, on all machines; else 1."""
    return int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """Which one of them this is; the primary is 0."""
    return int(os.environ["RANK"]) if processes() > 1 else 0


def local_rank() -> int:
    """Which one of those on this machine."""
    return int(os.environ["LOCAL_RANK"])


def in_a_group(stock):
    @classmethod
    def _run_from_parser_and_opt(cls, opt, parser):
        check(cls, opt)
        threads = torch.get_num_threads()
        given = Opt({**opt, "distributed_world_size": processes()})
        with distributed.distributed_context(rank(), given, 0, local_rank(), "env://") as own:
            torch.set_num_threads(threads)  # OMP_NUM_THREADS is that of one process
            return stock.__get__(None, cls)(own, parser)

    return _run_from_parser_and_opt


def check(command: type[ParlaiScript], opt: Opt) -> None:
    """:raises UsageError: for what several processes cannot do together."""
    if command not in COMMANDS:
        raise UsageError("torchrun is for train_model and eval_model: run this command without it")
    if opt.get("area_under_curve_digits", -1) > 0:  # ParlAI takes that of the primary's examples
        raise UsageError("--area-under-curve-digits needs all examples: evaluate without torchrun")
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and not opt.get("no_cuda") and local_rank() >= gpus:
        raise UsageError(
            f"there is no GPU for process {local_rank() + 1} on this machine, which has {gpus}: "
            "lower --nproc-per-node, or use the CPU with --no-cuda true"
        )


def by_the_primary(stock):
    """parlai/scripts/eval_model.py:122 means to, but does not call ``is_primary_worker``."""

    def _save_eval_stats(opt, report):
        if distributed.is_primary_worker():
            stock(opt, report)

    return _save_eval_stats
