"""On what something was measured: versions and hardware, no names of hosts or people."""

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

import p2bot_parlai

PACKAGES = ("parlai", "torch", "transformers", "tokenizers", "numpy")


def versions() -> dict[str, str]:
    found = {"p2bot_parlai": p2bot_parlai.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        found[name] = importlib.metadata.version(name)
    return found


def hardware() -> str:
    """Cores, processor, memory, GPU, in one line."""
    parts = [f"{os.cpu_count()} cores", processor(), f"{memory():.0f} GB"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join([*parts, f"{platform.system()} {platform.machine()}"])


def processor() -> str:
    """The processor's model where the system says it."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> float:
    """GB of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
