"""Memory that bfloat16 products keep."""

import subprocess
import sys

RUN = """
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
for length in range(1, 100):
    network(torch.zeros(length, 128))
before = megabytes()
for length in range(100, 220):
    network(torch.zeros(length, 128))
print(megabytes() - before)
"""


def test_batches_of_ever_other_shapes_do_not_fill_memory():
    """Without a bound each shape keeps 0.7 MB."""
    found = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, check=True, timeout=300
    )
    assert float(found.stdout) < 20
