"""
What callers hand to `P2Bot` and its conversations, checked once, where it comes in.

A list of texts is never one string: "a|b" is split on the command line alone, and lines on the
web page alone.
"""

import operator
import os
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex

import torch

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import in_one_line


def text(name: str, value: Any) -> str:
    """:raises TypeError: for anything but a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {_called(value)}")
    return value


def texts(name: str, value: Any) -> list[str]:
    """:raises TypeError: for anything but strings in a list or the like."""
    if isinstance(value, str):
        raise TypeError(f"{name} must be a list of strings, not {_called(value)}: write [...]")
    if not isinstance(value, Iterable) or isinstance(value, Mapping | bytes):
        raise TypeError(f"{name} must be a list of strings, not {_called(value)}")
    return [text(f"{name}[{place}]", item) for place, item in enumerate(value)]


def persona(name: str, value: Any) -> tuple[str, ...]:
    """Distinct profile sentences, each in one line; None is none. :raises TypeError: as `texts`."""
    found = map(in_one_line, texts(name, () if value is None else value))
    return tuple(dict.fromkeys(filter(None, found)))


def whole_number(name: str, value: Any, least: int, most: int = 2**63 - 1) -> int:
    """:raises TypeError: for no whole number. :raises P2botError: outside of least..most."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} must be a whole number, not {_called(value)}")
    number = operator.index(value)
    if not least <= number <= most:
        raise P2botError(f"{name}={number} is not at least {least} and at most {most}")
    return number


def seed(value: Any) -> int | None:
    """None, or a seed of torch's generators. :raises: as `whole_number`."""
    return None if value is None else whole_number("seed", value, 0)


def yes_or_no(name: str, value: Any) -> None:
    """:raises TypeError: for neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {_called(value)}")


def path(name: str, value: Any) -> str:
    """:raises TypeError: for neither a string nor a path."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path or a name, not {_called(value)}")
    return os.fspath(value)


def device_options(device: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """
    ParlAI's options for a device.

    :param device: "cpu", "cuda", "cuda:1" or a torch.device; None: as the model's options say.
    :param options: must not name a device themselves.
    :raises TypeError: for another type. :raises P2botError: for a device that is not there.
    """
    for name in {"gpu", "no_cuda"} & options.keys():
        raise P2botError(f'{name}={options[name]!r}: name the device, device="cpu" or "cuda:1"')
    if device is None:
        return {}
    if not isinstance(device, str | torch.device):
        raise TypeError(
            f'device must be a string such as "cuda:1" or a torch.device, not {_called(device)}'
        )
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise P2botError(f'device={str(device)!r} is unknown: use "cpu", "cuda" or "cuda:1"')
    if found.type == "cpu":
        return {"no_cuda": True}
    there = torch.cuda.device_count()
    if (found.index or 0) >= there:
        raise P2botError(
            f"device={str(device)!r} is not there (CUDA devices that torch finds: {there}): use "
            'device="cpu" or another'
        )
    return {"no_cuda": False, "gpu": -1 if found.index is None else found.index}


def _called(value: Any) -> str:
    return f"the {type(value).__name__} {reprlib.repr(value)}"
