"""Memory that torch has freed but the process still holds."""

import ctypes
import platform


def trim_memory() -> None:
    """
    Return freed memory to the system; takes some milliseconds. Only glibc keeps it.

    Batches of varying shapes fragment glibc's heap: after some thousand dialogues of self-play
    the process would hold a fifth more than it uses (docs/log.md, "long runs").
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
