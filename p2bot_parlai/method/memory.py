"""Memory that torch has freed, and that the process still holds."""

import ctypes
import functools


@functools.cache
def _trim():
    """glibc's malloc_trim; None on systems with another C library."""
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    return found


def trim_memory() -> None:
    """
    Hand freed memory back to the system; takes some milliseconds.

    Batches of ever other shapes leave holes in glibc's heap: without this a run of self-play
    holds, after some thousand dialogues, a fifth more than it uses (docs/log.md, "long runs").
    """
    trim = _trim()
    if trim is not None:
        trim(0)
