"""
What ParlAI and our adapters cost beside the model, where the model is small.

    python bench/overhead.py [--updates 100] [--examples 130000]

Trains the model of `make demo` on `p2bot:sketch` and prints how the time of a training step is
spent: forward, backward and optimizer, and all else. Then it loads a training set in a process
of its own, and prints seconds and memory.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from measure import resident
from parlai.scripts.train_model import setup_args
from parlai.utils import logging

from p2bot_parlai import plugin, zoo
from p2bot_parlai.parlai_support.training_loop import P2botTrainLoop

# replies of a dialogue of p2bot:sketch
REPLIES = 7


class Clock:
    """Seconds within wrapped functions, by name; a function within another counts once."""

    def __init__(self):
        self.spent: dict[str, float] = {}
        self.busy = False

    def wrap(self, owner, function: str, name: str) -> None:
        original = getattr(owner, function)

        def timed(*args, **kwargs):
            if self.busy:
                return original(*args, **kwargs)
            self.busy, started = True, time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.busy = False
                passed = time.perf_counter() - started
                self.spent[name] = self.spent.get(name, 0.0) + passed

        setattr(owner, function, timed)


def recipe() -> dict:
    """The options of the preset p2bot/sketch_transmitter."""
    return json.loads((Path(zoo.__file__).parent / "sketch_transmitter.opt").read_text())


def training(folder: str, updates: int) -> dict[str, float]:
    """Seconds of a training step, by part; the first tenth of the updates is not counted."""
    changes = {
        "task": "p2bot:sketch:self_original",
        "num_epochs": -1,
        "max_train_steps": updates,
        "lr_scheduler": "none",  # which asks for the optimizer's own step()
        "warmup_updates": -1,
    }
    opt = setup_args().parse_kwargs(
        **{**recipe(), **changes},
        datapath=folder,
        model_file=f"{folder}/model",
        sketch_dialogues=2000,
        seed=1,
        loglevel="error",
    )
    loop = P2botTrainLoop(opt)
    logging.set_log_level(logging.ERROR)
    agent, clock = loop.agent, Clock()
    clock.wrap(agent.model, "forward", "forward")
    clock.wrap(agent, "backward", "backward")
    clock.wrap(agent.optimizer, "step", "optimizer")
    clock.wrap(torch.nn.utils, "clip_grad_norm_", "optimizer")
    clock.wrap(agent.optimizer, "zero_grad", "optimizer")
    ends: list[float] = []  # of steps, as the world plays them
    parley = loop.world.parley

    def step():
        parley()
        ends.append(time.perf_counter())
        if len(ends) == first:
            clock.spent.clear()

    loop.world.parley, first = step, max(1, updates // 10)
    for _ in loop.train_steps():
        pass
    measured = len(ends) - first
    found = {name: spent / measured for name, spent in clock.spent.items()}
    step_time = (ends[-1] - ends[first - 1]) / measured
    return {**found, "all else": step_time - sum(found.values())}


def load(folder: str, dialogues: int) -> dict[str, float]:
    """Seconds until a training teacher has its examples, and the most memory, MB."""
    from parlai.core.teachers import create_task_agent_from_taskname

    before = resident()
    opt = setup_args().parse_kwargs(
        model="p2bot",
        task="p2bot:sketch:self_original",
        datapath=folder,
        datatype="train",
        sketch_dialogues=dialogues,
        backbone="sketch",
        loglevel="error",
    )
    started = time.perf_counter()
    (teacher,) = create_task_agent_from_taskname(opt)
    teacher.act()
    seconds = time.perf_counter() - started
    found = {"examples": teacher.num_examples(), "seconds": seconds}
    return {**found, "before": before, "peak": resident()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--examples", type=int, default=130_000)
    parser.add_argument("--load", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    plugin.register()
    dialogues = args.examples // REPLIES
    if args.load:
        print(json.dumps(load(args.load, dialogues)))
        return
    with TemporaryDirectory() as folder:
        parts = training(folder, args.updates)
    step = sum(parts.values())
    within = step - parts["all else"]
    print(f"a training step: {1000 * step:.1f} ms, {100 * within / step:.0f}% in the model")
    for name, spent in sorted(parts.items(), key=lambda pair: -pair[1]):
        print(f"  {name:<10} {1000 * spent:7.1f} ms {100 * spent / step:4.0f}%")
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__)), "--load", folder]
        command += ["--examples", str(args.examples)]
        found = {}
        for made in ("made and loaded", "loaded again"):  # the first writes the files
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            line = f"{found['examples']:,} examples {made}: {found['seconds']:.1f} s,"
            print(f"{line} {found['peak']:.0f} MB (before: {found['before']:.0f})", flush=True)


if __name__ == "__main__":
    main()
