"""The software and hardware of this machine; no names of hosts or people."""

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

import p2bot_parlai

PACKAGES = ("parlai", "torch", "transformers", "tokenizers", "numpy")


def versions() -> str:
    """Of this package, Python and what the results depend on, in one line."""
    found = [f"p2bot_parlai {p2bot_parlai.__version__}", f"python {platform.python_version()}"]
    return ", ".join(found + [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES])


def hardware() -> str:
    """Cores, processor, memory, GPU, in one line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    parts = [f"{os.cpu_count()} cores", processor(), f"{memory:.0f} GB"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join([*parts, f"{platform.system()} {platform.machine()}"])


def processor() -> str:
    """The processor's model where the system says it, else its architecture."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
