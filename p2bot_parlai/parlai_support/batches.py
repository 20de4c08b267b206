"""Batches that are freed as soon as nobody refers to them."""

from parlai.core import torch_agent


class Batch(torch_agent.Batch):
    """
    ParlAI's, without its reference to itself.

    parlai/utils/misc.py:292 makes an AttrDict its own ``__dict__``, so that a batch, with all
    its tensors, stays until Python's garbage collector reaches its oldest generation, which
    may be ten thousand batches later.
    """

    def __init__(self, **fields):
        super().__init__(**fields)
        del self["__dict__"]  # where `__setattr__` has put the reference

    def __getattr__(self, name: str):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    __setattr__ = dict.__setitem__


def without_cycle(batch: torch_agent.Batch) -> Batch:
    """The same object as one of ours."""
    batch.__class__ = Batch
    object.__setattr__(batch, "__dict__", {})
    return batch
