"""Memory that torch has freed but the process still holds, or keeps for products to come."""

import ctypes
import os
import platform

# products in bfloat16 that oneDNN keeps ready, one a shape: some 0.7 MB each
KEPT_PRODUCTS = "32"


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


def trim_memory() -> None:
    """
    Return freed memory to the system; takes some milliseconds. Only glibc keeps it.

    Batches of varying shapes fragment glibc's heap: after some thousand dialogues of self-play
    the process would hold a fifth more than it uses (docs/log.md, "long runs").
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
