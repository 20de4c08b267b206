"""What ParlAI 1.7.2 needs to run on current torch. ParlAI itself is never edited.

One patch a break; its docstring names the upstream file and line, the versions that need it and
what happens without it. They act for every agent, and nothing here touches how weights are loaded.
"""

import contextlib
import copy
import ctypes
import functools
import sys
import time
import warnings
from collections.abc import Iterator

from p2bot_parlai.parlai_support.patching import Patch, patched


def install() -> None:
    """Apply every shim."""
    plateau_scheduler_verbose()
    multiprocessing_on_cpu()


# --- torch >= 2.7: ReduceLROnPlateau(verbose=) ------------------------------------------------


def plateau_scheduler_verbose() -> None:
    """parlai/nn/lr_scheduler.py:338 passes verbose=True; torch >= 2.7 has no such argument.

    Without it every training run with the default scheduler is a TypeError.
    """
    from parlai.nn.lr_scheduler import ReduceOnPlateauLRScheduler

    Patch(ReduceOnPlateauLRScheduler, "__init__", without_verbose).apply()


def without_verbose(stock):
    """Torch printed a line at each reduction; "lr" is in every report anyway."""
    from parlai.nn.lr_scheduler import ParlAILRScheduler
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    def __init__(self, optimizer, patience, decay, warmup_updates, warmup_rate):
        ParlAILRScheduler.__init__(self, warmup_updates, warmup_rate)
        self.scheduler = ReduceLROnPlateau(optimizer, "min", factor=decay, patience=patience)

    return __init__


# --- any torch, no GPU: multiprocessing_train and multiprocessing_eval -------------------------


def multiprocessing_on_cpu() -> None:
    """parlai/utils/distributed.py:260 (also :142, :279, :287) knows only CUDA, any version.

    Without it `multiprocessing_train` and `multiprocessing_eval` are a ZeroDivisionError where
    there is no GPU. With it they run on gloo there; with a GPU nothing changes.
    """
    import parlai.utils.distributed as distributed
    from parlai.scripts import eval_model, train_model

    Patch(distributed, "distributed_context", on_gloo).apply()
    for owner in (distributed, train_model, eval_model):  # the scripts import it by name
        Patch(owner, "all_gather_list", gathered_on_gloo).apply()


def gathered_on_gloo(stock):
    """One picklable object from each process, in rank order; upstream needs CUDA tensors for it."""
    import torch.distributed as dist
    from parlai.utils.distributed import is_distributed

    def all_gather_list(data):
        if not is_distributed() or dist.get_backend() == "nccl":
            return stock(data)
        gathered = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, data)
        return gathered

    return all_gather_list


def on_gloo(stock):
    """A process group on gloo where no GPU is used, ParlAI's own otherwise."""
    import torch

    def distributed_context(rank, opt, rank_offset=0, gpu=None, init_method=None):
        where = {"init_method": init_method} if init_method else {}
        if torch.cuda.is_available() and not opt.get("no_cuda"):
            return _with_excepthook(stock(rank, opt, rank_offset, gpu, **where))
        return _with_excepthook(_gloo_context(rank + rank_offset, opt, **where))

    return distributed_context


@contextlib.contextmanager
def _with_excepthook(group) -> Iterator:
    """torch 2.13 wraps ``sys.excepthook``, and loses what one prints that then exits, as ours."""
    hook = sys.excepthook
    with group as opt:
        sys.excepthook = hook
        yield opt


@contextlib.contextmanager
def _gloo_context(rank: int, opt, init_method: str = "tcp://localhost:61337") -> Iterator:
    import parlai.utils.distributed as distributed
    import torch
    import torch.distributed as dist

    processes = opt["distributed_world_size"]
    if processes < 1:  # upstream's default is the number of GPUs
        raise ValueError("There is no GPU: give --distributed-world-size.")
    opt = copy.deepcopy(opt)
    opt.update(rank=rank, gpu=-1)
    opt.setdefault("override", {})["gpu"] = -1
    verbose = opt.get("verbose")
    prefix = f"rank:{rank:3d} |" if verbose or rank else None
    threads = torch.get_num_threads()
    with distributed.override_print(bool(rank) and not verbose, prefix), _no_devices():
        dist.init_process_group("gloo", init_method, world_size=processes, rank=rank)
        torch.set_num_threads(max(1, threads // processes))  # or every process takes every core
        torch.manual_seed(42)  # upstream's: all processes build the same parameters
        try:
            distributed.sync_object(None)
            yield opt
        finally:
            torch.set_num_threads(threads)
            _leave(distributed.get_dist_group())


def _leave(group) -> None:
    """End a gloo group (torch 2.13) without a deadlock or an abort.

    Its threads need Python's lock to drop their last tensor. The group's destructor waits for them
    holding that lock, and so a process hangs when upstream's train loop, which is the last to hold
    the group, goes: the destructor never runs here, one idle group a run is the price. A thread
    that comes for the lock while Python exits aborts the process: sleeping hands it the lock now.
    """
    import torch.distributed as dist

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))
    time.sleep(0.2)
    dist.destroy_process_group()


def _no_devices():
    """For as long as a CPU process trains: its modules and train loop name no GPU.

    core/torch_generator_agent.py:584 and torch_ranker_agent.py:255 give DistributedDataParallel
    device_ids=[opt["gpu"]]; utils/fsdp.py:216 and :268 make opt["gpu"] the device to join on.
    """
    from parlai.utils.fsdp import JoinableEvaluator, JoinableTrainLoop
    from torch.nn.parallel import DistributedDataParallel

    return patched(
        Patch(DistributedDataParallel, "__init__", without_device_ids),
        Patch(JoinableTrainLoop, "join_device", on_cpu),
        Patch(JoinableEvaluator, "join_device", on_cpu),
    )


def without_device_ids(stock):
    @functools.wraps(stock)
    def __init__(self, module, device_ids=None, *args, **kwargs):
        with warnings.catch_warnings():
            # torch >= 2.13 would print this at every start; ParlAI's meaning is unchanged.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            stock(self, module, None, *args, **kwargs)

    return __init__


def on_cpu(stock):
    import torch

    return property(lambda self: torch.device("cpu"))


# --- any version: what streaming teachers write beside the data ----------------------------------


def lengths_in_memory():
    """parlai/core/teachers.py:1138 writes <data file>.lengths beside the data; any version.

    Building a dictionary streams the training set, which fails where the data folder is
    read-only. For as long as an agent of ours is built the numbers are counted instead.
    """
    from parlai.core.teachers import StreamDialogData

    return patched(Patch(StreamDialogData, "load_length", counted))


def counted(stock):
    def load_length(self):
        lengths = [len(episode) for episode in self._read_episode(self.data_loader(self.datafile))]
        return len(lengths), sum(lengths)

    return load_length
