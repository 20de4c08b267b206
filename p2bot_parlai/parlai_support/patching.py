"""
How ParlAI is extended: a `Patch` wraps one attribute of one module or class.

It wraps whatever stands there when it is applied, another plug-in's wrapper included.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import parlai

VERSIONS = ("1.7.2",)  # of ParlAI, which the patches were written for

_applied: dict[tuple, "Patch"] = {}


class Patch:
    """
    A wrapper for an attribute, applied once and possible to undo.

    :param owner: module or class that holds the attribute itself (not by inheritance).
    :param wrap: given what stands there now, returns what shall; classmethods are given and
        returned as such. A function with a name: it tells equal patches.
    :param versions: of ParlAI; with any other the patch is left out, with a warning.
    """

    def __init__(
        self,
        owner: Any,
        name: str,
        wrap: Callable[[Any], Any],
        versions: tuple[str, ...] = VERSIONS,
    ):
        self.owner, self.name, self.wrap, self.versions = owner, name, wrap, versions
        self.where = f"{owner.__name__}.{name}"

    def apply(self) -> None:
        """Wrap the attribute, unless that is done."""
        key = (self.owner, self.name, self.wrap)
        if key in _applied:
            return
        if parlai.__version__ not in self.versions:
            warnings.warn(
                f"p2bot_parlai leaves {self.where} as it is: it knows ParlAI "
                f"{', '.join(self.versions)}, and this is {parlai.__version__}",
                stacklevel=2,
            )
            return
        self.stock = vars(self.owner)[self.name]
        self.replacement = self.wrap(self.stock)
        setattr(self.owner, self.name, self.replacement)
        _applied[key] = self

    def undo(self) -> None:
        """Put back what was wrapped, unless someone else has wrapped this wrapper since."""
        key = (self.owner, self.name, self.wrap)
        if key not in _applied:
            return
        done = _applied[key]
        if vars(self.owner)[self.name] is not done.replacement:
            warnings.warn(f"{self.where} was wrapped again and stays as it is", stacklevel=2)
            return
        setattr(self.owner, self.name, done.stock)
        del _applied[key]


def undo() -> None:
    """Restore every attribute that was patched."""
    for patch in reversed(list(_applied.values())):
        patch.undo()


@contextlib.contextmanager
def patched(*patches: Patch) -> Iterator[None]:
    """Patches for as long as the block runs."""
    with contextlib.ExitStack() as stack:
        for patch in patches:
            patch.apply()
            stack.callback(patch.undo)
        yield
