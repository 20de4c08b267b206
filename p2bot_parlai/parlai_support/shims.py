"""What ParlAI 1.7.2 needs to run on current torch and setuptools. ParlAI itself is never edited.

One function a break; its docstring names the upstream file and line, the versions that need it and
what happens without it. Each does nothing where the break is absent and may be called again.
Nothing here touches how weights are loaded.
"""

import contextlib
import copy
import ctypes
import functools
import inspect
import sys
import time
import warnings

_originals: dict = {}


def apply() -> None:
    """Apply every shim. Imports torch, so only the command and the agents call it."""
    plateau_scheduler_verbose()
    multiprocessing_on_cpu()
    presets_and_namespace_packages()
    lengths_in_memory()
    delayed_nucleus_beam()
    full_stops_of_several_tokens()
    batches_that_are_freed()


def _replace(module, name: str, new) -> None:
    """Put `new` where `module.name` was, also where others hold it by `from module import name`."""
    original = getattr(module, name)
    if original is new:
        return
    _originals[name] = original
    for holder in list(sys.modules.values()):
        if getattr(holder, "__dict__", {}).get(name) is original:
            setattr(holder, name, new)


# --- torch >= 2.7: ReduceLROnPlateau(verbose=) ------------------------------------------------


def plateau_scheduler_verbose() -> None:
    """parlai/nn/lr_scheduler.py:338 passes verbose=True; torch >= 2.7 has no such argument.

    Without it every training run with the default scheduler is a TypeError.
    """
    from parlai.nn.lr_scheduler import ReduceOnPlateauLRScheduler
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    if "verbose" not in inspect.signature(ReduceLROnPlateau).parameters:
        ReduceOnPlateauLRScheduler.__init__ = _plateau_init


def _plateau_init(self, optimizer, patience, decay, warmup_updates, warmup_rate):
    """Without the line that torch printed at each reduction; "lr" is in every report anyway."""
    from parlai.nn.lr_scheduler import ParlAILRScheduler
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    ParlAILRScheduler.__init__(self, warmup_updates, warmup_rate)
    self.scheduler = ReduceLROnPlateau(optimizer, "min", factor=decay, patience=patience)


# --- any torch, no GPU: multiprocessing_train and multiprocessing_eval -------------------------


def multiprocessing_on_cpu() -> None:
    """parlai/utils/distributed.py:260 (also :142, :279, :287) knows only CUDA, any version.

    Without it `multiprocessing_train` and `multiprocessing_eval` are a ZeroDivisionError where
    there is no GPU. With it they run on gloo there; with a GPU nothing changes.
    """
    import parlai.utils.distributed as distributed

    _replace(distributed, "distributed_context", distributed_context)
    _replace(distributed, "all_gather_list", all_gather_list)


def all_gather_list(data):
    """One picklable object from each process, in rank order; upstream needs CUDA tensors for it."""
    import torch.distributed as dist
    from parlai.utils.distributed import is_distributed

    if not is_distributed() or dist.get_backend() == "nccl":
        return _originals["all_gather_list"](data)
    gathered = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, data)
    return gathered


@contextlib.contextmanager
def distributed_context(rank, opt, rank_offset=0, gpu=None, init_method="tcp://localhost:61337"):
    """A process group on gloo where no GPU is used, ParlAI's own otherwise."""
    import parlai.utils.distributed as distributed
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available() and not opt.get("no_cuda"):
        with _originals["distributed_context"](rank, opt, rank_offset, gpu, init_method) as opt:
            yield opt
        return

    processes = opt["distributed_world_size"]
    if processes < 1:  # upstream's default is the number of GPUs
        raise ValueError("There is no GPU: say how many processes with --distributed-world-size.")
    rank += rank_offset
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


@contextlib.contextmanager
def _no_devices():
    """For as long as a CPU process trains: its modules and train loop name no GPU.

    core/torch_generator_agent.py:584 and torch_ranker_agent.py:255 give DistributedDataParallel
    device_ids=[opt["gpu"]]; utils/fsdp.py:216 and :268 make opt["gpu"] the device to join on.
    """
    import torch
    from parlai.utils.fsdp import JoinableEvaluator, JoinableTrainLoop
    from torch.nn.parallel import DistributedDataParallel

    wrap = DistributedDataParallel.__init__

    @functools.wraps(wrap)
    def __init__(self, module, device_ids=None, *args, **kwargs):
        with warnings.catch_warnings():
            # torch >= 2.13 would print this at every start; ParlAI's meaning is unchanged.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            wrap(self, module, None, *args, **kwargs)

    with contextlib.ExitStack() as undo:
        for owner, name, value in (
            (DistributedDataParallel, "__init__", __init__),
            (JoinableTrainLoop, "join_device", torch.device("cpu")),
            (JoinableEvaluator, "join_device", torch.device("cpu")),
        ):
            home = next(base for base in owner.__mro__ if name in vars(base))
            undo.callback(setattr, home, name, vars(home)[name])
            setattr(home, name, value)
        yield


# --- any setuptools: option presets and namespace packages -------------------------------------


def presets_and_namespace_packages() -> None:
    """parlai/core/opt.py:168 asks pkg_resources for files of parlai_internal; any version.

    pkg_resources ends in a TypeError for a namespace package, which our plug-in makes of
    parlai_internal: without this, `-o` with a name that is neither a file nor a preset ends so,
    instead of in ParlAI's own message. Such packages now have no files.
    """
    import parlai_internal
    import pkg_resources

    if getattr(parlai_internal, "__file__", None) is None:
        pkg_resources.register_loader_type(type(parlai_internal.__loader__), _NoFiles)


class _NoFiles:
    """What pkg_resources knows about the files of a namespace package."""

    def __init__(self, module):
        self.module = module

    def has_resource(self, name: str) -> bool:
        return False


# --- any version: what streaming teachers write beside the data ----------------------------------


def lengths_in_memory() -> None:
    """parlai/core/teachers.py:1138 writes <data file>.lengths beside the data; any version.

    Building a dictionary streams the training set, so without this the first training run fails
    where the data folder is read-only. The numbers are counted anew each time instead.
    """
    from parlai.core.teachers import StreamDialogData

    def load_length(self):
        lengths = [len(episode) for episode in self._read_episode(self.data_loader(self.datafile))]
        return len(lengths), sum(lengths)

    if StreamDialogData.load_length.__module__ == StreamDialogData.__module__:
        StreamDialogData.load_length = load_length


# --- any version: two ways of decoding -----------------------------------------------------------


def delayed_nucleus_beam() -> None:
    """parlai/core/torch_generator_agent.py:1958 borrows a method of NucleusSampling, any version,
    which calls two others that DelayedNucleusBeamSearch lacks.

    Without this `--inference delayednucleusbeam` is an AttributeError.
    """
    from parlai.core.torch_generator_agent import DelayedNucleusBeamSearch, NucleusSampling

    for name in ("get_mask", "update_p"):
        if name not in vars(DelayedNucleusBeamSearch):
            setattr(DelayedNucleusBeamSearch, name, getattr(NucleusSampling, name))


def full_stops_of_several_tokens() -> None:
    """parlai/core/torch_generator_agent.py:2104 makes a matrix of the tokens of ".", "?" and "!".

    Without this `--inference factual_nucleus` is a ValueError for every tokenizer in which one of
    them is more than one token (any version). The last token tells the full stop.
    """
    from parlai.core.torch_generator_agent import FactualNucleusSampling

    original = FactualNucleusSampling.__init__
    if original.__module__ == __name__:
        return

    @functools.wraps(original, assigned=())
    def __init__(self, *args, **kwargs):
        original(self, *args, **{**kwargs, "dict": _LastToken(kwargs["dict"])})

    FactualNucleusSampling.__init__ = __init__


class _LastToken:
    """A dictionary that gives the last token of a text alone."""

    def __init__(self, dictionary):
        self.dictionary = dictionary

    def txt2vec(self, text: str) -> list[int]:
        return self.dictionary.txt2vec(text)[-1:]


# --- any Python: batches that refer to themselves -----------------------------------------------


def batches_that_are_freed() -> None:
    """parlai/utils/misc.py:292 makes an AttrDict its own ``__dict__``, any version.

    Without it every Batch and Output, with all its tensors, stays until Python's garbage collector
    comes to its oldest generation, which may be ten thousand batches later.
    """
    from parlai.utils.misc import AttrDict

    AttrDict.__init__ = dict.__init__
    AttrDict.__getattr__ = _get_item
    AttrDict.__setattr__ = dict.__setitem__
    AttrDict.__delattr__ = _delete_item


def _get_item(self, name: str):
    try:
        return self[name]
    except KeyError:
        raise AttributeError(name) from None


def _delete_item(self, name: str) -> None:
    try:
        del self[name]
    except KeyError:
        raise AttributeError(name) from None
