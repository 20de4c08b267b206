"""
One frozen backbone, many roles: which low-rank adapters (LoRA, Hu et al. 2022) are on.

PEFT switches adapters in the modules, so a call that forgets to switch, an exception or another
thread computes with the wrong ones, in silence. Here they are on for the time of a call alone:
`on` is the one place that switches, `Adapted` the one that calls it, and a layer asks `names_on`.
Weights and files of adapters are in `lora`.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from transformers import Cache

_ON: ContextVar[tuple[str, ...]] = ContextVar("adapters", default=())


def names_on() -> tuple[str, ...]:
    """The adapters of this call, in this thread; none outside of `on`."""
    return _ON.get()


@contextlib.contextmanager
def on(*names: str) -> Iterator[None]:
    """Within, these adapters alone are on, their sum where there are several."""
    token = _ON.set(names)
    try:
        yield
    finally:
        _ON.reset(token)


def as_now(function: Callable) -> Callable:
    """The function with the adapters that are on now, whenever and wherever it is called."""
    names = names_on()

    def call(*args: Any, **kwargs: Any) -> Any:
        with on(*names):
            return function(*args, **kwargs)

    return call


class Adapted(nn.Module):
    """
    A backbone as one role has it, behind the interface of `p2bot_parlai.method.backbones`.

    :param base: the backbone, which several roles may share.
    :param names: the role's adapters in it; none: the base as it was pretrained.
    """

    def __init__(self, base: Any, *names: str):
        super().__init__()
        self.base, self.names = base, names

    def forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None = None
    ) -> Tensor:
        with on(*self.names):
            return self.base(ids, positions, mask, cache)

    def logits(self, hidden: Tensor) -> Tensor:
        with on(*self.names):
            return self.base.logits(hidden)

    def new_cache(self) -> Cache:
        return self.base.new_cache()

    @property
    def hidden_size(self) -> int:
        return self.base.hidden_size

    @property
    def max_positions(self) -> int | None:
        return self.base.max_positions

    @property
    def dropout(self) -> float:
        return self.base.dropout

    @property
    def start_token(self) -> int | None:
        return self.base.start_token
