"""
One frozen backbone, many roles: which low-rank adapters (LoRA, Hu et al. 2022) are on.

PEFT switches adapters in the modules, so a call that forgets to switch, an exception or another
thread computes with the wrong ones, in silence. Here they are on for the time of a call alone:
`on` is the one place that switches, `adapted.Adapted` the one that calls it, and a layer asks
`names_on`. The layers are in `lora`.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

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
