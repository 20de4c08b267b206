"""Memory that torch has freed but the process still holds, or keeps for products to come."""

import ctypes
import os
import platform

# products in bfloat16 that oneDNN keeps ready, one a shape: some 0.7 MB each
KEPT_PRODUCTS = "32"
# parameters of glibc's mallopt, and their values
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST = 2**31 - 1  # bytes; mallopt takes an int
LARGEST_OF_OLD = 2**25  # bytes, that older glibc takes as M_MMAP_THRESHOLD: mallopt(3)
MORE = 64 * 2**20  # bytes, that the heap grows by at a time


def bound_product_caches() -> None:
    """
    Keep few products ready; to be called before the first one in bfloat16 on a CPU.

    oneDNN and torch's layer above it keep 1,024 each, 1.4 GB. Batches of ever other shapes fill
    them without using them again, and, scattered over the heap, they keep what is freed around
    them from being used for larger tensors, and the process grows. Who sets the variables keeps
    their own values.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, KEPT_PRODUCTS)


def reuse_memory() -> None:
    """
    Keep the memory of freed tensors for the next ones, until `trim_memory`.

    glibc hands large tensors back to the system as they are freed, and the system clears each
    page of the next one: a fifth of the time of a training update. What it costs: between two
    trims the process holds all that it needed at its largest, and some holes that no tensor fits.
    Who sets glibc's ``GLIBC_TUNABLES`` keeps their own values.
    """
    if platform.libc_ver()[0] == "glibc" and "glibc.malloc" not in os.getenv("GLIBC_TUNABLES", ""):
        libc = ctypes.CDLL(None)
        # the other two would fix the threshold where it is, at 128 kB maybe
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST) or libc.mallopt(M_MMAP_THRESHOLD, LARGEST_OF_OLD)
        libc.mallopt(M_TRIM_THRESHOLD, LARGEST)
        libc.mallopt(M_TOP_PAD, MORE)


def trim_memory() -> None:
    """
    Return freed memory to the system; takes some milliseconds. Only glibc keeps it.

    Batches of varying shapes fragment glibc's heap: after some thousand dialogues of self-play
    the process would hold a fifth more than it uses (docs/log.md, "long runs").
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
