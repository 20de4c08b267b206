"""Memory that torch has freed but the process still holds."""

import ctypes
import functools
from collections.abc import Callable


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim; None on systems with another C library."""
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    return found


def trim_memory() -> None:
    """
    Return freed memory to the system; takes some milliseconds.

    Batches of varying shapes fragment glibc's heap: after some thousand dialogues of self-play
    the process would hold a fifth more than it uses (docs/log.md, "long runs").
    """
    trim = _trim()
    if trim is not None:
        trim(0)
