"""Seconds, memory, floating-point operations, the peak of matrix products; diagrams."""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


@dataclass
class Panel:
    """A diagram. :param lines: values by label, one for each of ``x``."""

    x: Sequence[float]
    lines: dict[str, Sequence[float]]
    xlabel: str
    ylabel: str
    title: str = ""
    marker: str = ""


def seconds(run: Callable[[], object]) -> float:
    """Until a GPU, too, has done it."""
    started = now()
    run()
    return now() - started


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def by_turns(runs: dict[str, Callable[[], object]], pairs: int, warm_up: bool = True) -> dict:
    """Seconds of each run, alternating, ``pairs`` times: other programs disturb all alike."""
    if warm_up:
        for run in runs.values():
            run()
    found = {side: [] for side in runs}
    for _ in range(pairs):
        for side, run in runs.items():
            found[side].append(seconds(run))
    return found


def ratio(slow: list[float], fast: list[float]) -> float:
    """The median over the pairs."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def flops(run: Callable[[], object], backbone) -> int:
    """
    Of the matrix products that a run needs of a backbone, by shapes: a key that is masked needs
    none, nor does what a backward pass takes again; the gradient of a product is two more. Padding
    would count, of which these works have next to none.
    """
    layers = list(backbone.layers())
    weights = sum(
        module.weight.numel()
        for layer in layers
        for module in layer.modules()
        if isinstance(module, nn.Linear | Conv1D)
    )
    _, head = backbone.token_modules()
    found = []

    def times() -> int:
        return 2 * (3 if torch.is_grad_enabled() else 1)

    def read(_, given) -> None:
        ids, _, mask = given[:3]
        scores = 2 * backbone.hidden_size * len(layers) * int(mask.sum())
        found.append(times() * (weights * ids.numel() + scores))

    def predict(module, given) -> None:
        found.append(times() * given[0][..., 0].numel() * module.weight.numel())

    hooks = [backbone.register_forward_pre_hook(read), head.register_forward_pre_hook(predict)]
    run()
    for hook in hooks:
        hook.remove()
    return sum(found)


def peak(precision: str, repeats: int = 5) -> float:
    """
    Floating-point operations a second of the fastest of a few square matrix products, on the
    device that the agents run on.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    device, side = ("cuda", 8192) if torch.cuda.is_available() else ("cpu", 1024)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    a @ b
    return 2 * side**3 / min(seconds(lambda: a @ b) for _ in range(repeats))


def resident() -> float:
    """
    The most memory that this process ever had, MB.

    Linux hands ru_maxrss on to the programs that a process starts: a small program that a large
    one starts would look large. VmHWM starts from zero in each program.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def draw(panels: Sequence[Panel], path: Path, width: float = 4, height: float = 3) -> None:
    """Panels side by side, as SVG; the same picture from the same figures."""
    import matplotlib  # here, so that it is no part of the memory that is measured
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure = Figure(figsize=(width * len(panels), height), layout="constrained")
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(places, panels, strict=True):
            for label, values in panel.lines.items():
                axes.plot(panel.x, values, marker=panel.marker, label=label)
            top = 1.2 * max(max(values) for values in panel.lines.values())
            axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
            axes.set(xlim=(0, None), ylim=(0, top))
            if len(panel.lines) > 1:
                axes.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})


def memory() -> float:
    """The most that was held on the device that the agents run on, MB."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else resident()


def memory_of(size: str, precision: str, work: str, side: str) -> dict:
    """`memory` of one side in a process of its own: before the work, and after."""
    command = [sys.executable, Path(__file__), size, precision, work, side]
    command.append(str(torch.get_num_threads()))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    from setting import SIZES
    from work import Works

    name, precision, work, side, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    made = Works(SIZES[name], precision).get(work)
    before = memory()
    made.run[side]()
    print(json.dumps({"before": before, "peak": memory()}))
