"""
A second device, for tests without a GPU: `fake_cuda()`.

Its tensors hold real values, so that whole runs go through and equal those on the CPU. As on a GPU,
an operation on one of them and a tensor of the CPU raises, but for single numbers; an index from
the CPU, which CUDA takes and waits for, raises too. What makes the CPU wait for a GPU is counted.

torch has no backend for the type "lazy" here: nothing of it is registered, other tests see none of
it, and its backward passes run in the thread that asks for them.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from parlai.core.torch_agent import TorchAgent
from torch.nn import functional
from torch.optim import optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
DEVICE = torch.device("lazy", 0)
COPIES = (aten._to_copy.default, aten.copy_.default)
# what torch asks no dispatch mode about
ON_THE_CPU = (torch.Tensor.tolist, torch.Tensor.data_ptr, torch.Tensor.__reduce_ex__)
# whose results the CPU looks at, or the size of them
WAITS = (aten._local_scalar_dense, aten.equal, aten.nonzero, aten.masked_select)
# what autocast computes in bfloat16: no kernel of this device says so
CAST = (functional.linear, torch.addmm, torch.matmul, torch.Tensor.matmul, torch.bmm)
CAST += (functional.scaled_dot_product_attention, torch.Tensor.__matmul__)


class DeviceTensor(torch.Tensor):
    """:param held: its values, on the CPU."""

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        about = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        return cls._make_wrapper_subclass(cls, held.shape, dtype=held.dtype, device=DEVICE, **about)

    def __init__(self, held: torch.Tensor):
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} on the fake device outside fake_cuda()")


class _Operations(TorchDispatchMode):
    def __init__(self, waits: Counter):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        here = [one for one in tensors if isinstance(one, DeviceTensor)]
        if here and func not in COPIES:
            away = [one for one in tensors if not isinstance(one, DeviceTensor) and one.dim()]
            if away:
                raise RuntimeError(f"two devices meet in {func}: {[tuple(t.shape) for t in away]}")
        target = kwargs.get("device")
        on = bool(here) if target is None else target.type == DEVICE.type
        if on and (generator := kwargs.get("generator")) is not None:
            raise RuntimeError(f"{func} on a device, with a generator of {generator.device}")
        if here and (func.overloadpacket in WAITS or self._leaves(func, args, on)):
            self.waits[str(func.overloadpacket)] += 1
        if target is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        plain = tree_map_only(DeviceTensor, lambda one: one.held, (args, kwargs))
        found = func(*plain[0], **plain[1])
        if func is aten.copy_.default:
            return args[0]
        if on:
            found = tree_map_only(
                torch.Tensor, lambda t: t if isinstance(t, DeviceTensor) else DeviceTensor(t), found
            )
            if here:
                found = return_and_correct_aliasing(func, args, kwargs, found)
        return found

    @staticmethod
    def _leaves(func, args, on: bool) -> bool:
        """Whether values go to the CPU, or decide how many there will be."""
        if func is aten.copy_.default:
            return not isinstance(args[0], DeviceTensor)
        if func.overloadpacket is aten.index:
            return any(one is not None and one.dtype == torch.bool for one in args[1])
        return func is aten._to_copy.default and not on


class _Names(TorchFunctionMode):
    """ "cuda" is the fake device; a number is one of CUDA's, as torch has it."""

    def __init__(self, waits: Counter):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.cuda:
            return args[0].to(DEVICE)
        if func in ON_THE_CPU and isinstance(args[0], DeviceTensor):
            self.waits[func.__name__] += func is torch.Tensor.tolist
            return func(args[0].held, *args[1:], **kwargs)
        if func is torch.Tensor.pin_memory:
            return args[0]
        if func is torch.Tensor.__getitem__ and isinstance(args[0], DeviceTensor):
            args = (args[0], self._moved(args[1]))
        if func in CAST and torch.is_autocast_enabled("cpu"):
            args = tree_map_only(DeviceTensor, _low, args)
        if "device" in kwargs:
            kwargs["device"] = _named(kwargs["device"])
        if func is torch.Tensor.to:
            args = (args[0], *(_named(one) for one in args[1:]))
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == DEVICE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)

    def _moved(self, index):
        """Lists in an index become tensors of the device, which the CPU waits for."""
        if isinstance(index, tuple):
            return tuple(self._moved(one) for one in index)
        if not isinstance(index, list):
            return index
        self.waits["list as index"] += 1
        return torch.tensor(index).to(DEVICE)


def _low(tensor):
    return tensor.bfloat16() if tensor.is_floating_point() else tensor


def _named(device):
    kind = str(device) if isinstance(device, str | torch.device) else ""
    return DEVICE if type(device) is int or kind.startswith("cuda") else device


@contextlib.contextmanager
def fake_cuda() -> Iterator[Counter]:
    """
    Within, "cuda" is a device, on which ParlAI's agents put themselves.

    :return: how often the CPU waited for it, by operation.
    """
    waits: Counter = Counter()
    autocast, enabled = torch.autocast, torch.is_autocast_enabled
    low = torch.get_autocast_dtype
    swapped = torch.__future__.get_swap_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch, _Operations(waits), _Names(waits):
        wanted = property(lambda agent: not agent.opt["no_cuda"], lambda *_: None)
        patch.setattr(TorchAgent, "use_cuda", wanted, raising=False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
        patch.setattr(TorchAgent, "_gpu_usage", lambda _: 0.0)
        # operations are cast where they are computed
        patch.setattr(torch, "autocast", lambda kind, *a, **k: autocast(_host(kind), *a, **k))
        patch.setattr(torch, "is_autocast_enabled", lambda kind="cpu": enabled(_host(kind)))
        patch.setattr(torch, "get_autocast_dtype", lambda kind: low(_host(kind)))
        # of fused Adam
        there = lambda: ["cpu", DEVICE.type]  # noqa: E731
        patch.setattr(optimizer, "_get_fused_kernels_supported_devices", there)
        torch.__future__.set_swap_module_params_on_conversion(True)  # tied weights stay tied
        try:
            yield waits
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swapped)


def _host(kind: str) -> str:
    return "cpu" if kind == DEVICE.type else kind
