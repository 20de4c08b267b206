"""Memory that bfloat16 products keep, and that freed tensors leave."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from p2bot_parlai.method import memory

START = """
import resource
import torch
from torch import nn
from p2bot_parlai.method.backbones.precision import Computing, set_computing

class Network(Computing):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(128, 128)
    def forward(self, x):
        with self.autocast(x.device), torch.no_grad():
            return self.linear(x)

def megabytes():
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024

torch.set_num_threads(1)
network = Network()
set_computing(network, "bf16")
"""
SHAPES = """
for length in range(1, 100):
    network(torch.zeros(length, 128))
before = megabytes()
for length in range(100, 220):
    network(torch.zeros(length, 128))
print(megabytes() - before)
"""
REUSE = """
from p2bot_parlai.method.memory import trim_memory

def faults(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(megabytes * 2**18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = megabytes()
SIZES = range(20, 70, 10)
for _ in range(5):  # holes that are too small by some bytes are left at first
    found = sum(faults(size) for size in SIZES)
print(found)
trim_memory()
print(megabytes() - before)
"""


def printed(run: str, **environment: str) -> list[float]:
    command = [sys.executable, "-c", START + run]
    found = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    return [float(line) for line in found.stdout.split()]


def test_batches_of_ever_other_shapes_do_not_fill_memory():
    """Without a bound each shape keeps 0.7 MB."""
    (grown,) = printed(SHAPES)
    assert grown < 20


@pytest.mark.parametrize("most", [2**25, 2**31])
def test_tensors_of_megabytes_stay_where_glibc_limits_its_threshold(monkeypatch, most):
    """mallopt(3): M_MMAP_THRESHOLD is at most 32 MB, as it was before glibc took any."""
    set_to = {}

    def mallopt(name: int, value: int) -> int:
        fits = name != memory.M_MMAP_THRESHOLD or value <= most
        return set_to.update({name: value} if fits else {}) or int(fits)

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    memory.reuse_memory()
    assert set_to[memory.M_MMAP_THRESHOLD] == min(most, memory.LARGEST)
    assert set_to[memory.M_TRIM_THRESHOLD] == memory.LARGEST


@pytest.mark.slow
def test_freed_memory_is_used_again_and_given_back_when_trimmed():
    """Of 200 MB in fresh memory, each of 51,200 pages is a fault."""
    faults, kept = printed(REUSE)
    assert faults < 1000
    assert kept < 20
    faults, _ = printed(REUSE, GLIBC_TUNABLES="glibc.malloc.mmap_threshold=131072")
    assert faults > 50_000
