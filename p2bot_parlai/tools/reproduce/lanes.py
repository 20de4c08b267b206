"""Commands in lanes, one after the other in each, a core a lane; with progress from their logs."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

PROGRESS = re.compile(r"training (\d+)% done, (.*)")


@dataclass
class Job:
    """:param name: also of its log, <name>.log. :param command: program and arguments."""

    name: str
    command: list[str]


def run(out: Path, lanes: Sequence[Sequence[Job]]) -> None:
    """
    Run all jobs; a lane has its share of the cores. Where one fails, all are ended, and the
    end of its log is the reason that this process exits with.
    """
    threads = str(max(1, (os.cpu_count() or 2) // len(lanes)))
    waiting = [list(lane) for lane in lanes]
    running: list[tuple[Job, subprocess.Popen] | None] = [None] * len(lanes)
    shown = Shown(out)
    try:
        while any(waiting) or any(running):
            for lane, jobs in enumerate(waiting):
                if running[lane] is None and jobs:
                    job = jobs.pop(0)
                    running[lane] = job, start(job, out, threads)
                if running[lane] is None:
                    continue
                job, process = running[lane]
                shown.update(job)
                if process.poll() is not None:
                    if process.returncode:
                        sys.exit(failure(job, out))
                    shown.done(job)
                    running[lane] = None
            time.sleep(0.5)
    finally:
        shown.close()
        for found in running:
            if found:
                found[1].terminate()


def start(job: Job, out: Path, threads: str, mode: str = "w") -> subprocess.Popen:
    """:param mode: of opening the log; "a" keeps what an earlier attempt wrote."""
    with open(out / f"{job.name}.log", mode) as file:
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": threads},
        )


def failure(job: Job, out: Path) -> str:
    lines = (out / f"{job.name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return f"failed: {job.name}; the end of its log:\n" + "\n".join(lines[-15:])


class Shown:
    """A line a job: bars on a terminal, elsewhere a word at every fifth of the way."""

    def __init__(self, out: Path):
        self.out, self.live = out, sys.stderr.isatty()
        self.bars: dict[str, tqdm] = {}
        self.told: dict[str, int] = {}
        self.began = time.monotonic()

    def update(self, job: Job) -> None:
        log = (self.out / f"{job.name}.log").read_text(encoding="utf-8", errors="replace")
        share, text = (PROGRESS.findall(log) or [("0", "")])[-1]
        if job.name not in self.told:
            self.told[job.name] = 0
            self._tell(f"{job.name}: started")
            self.bars[job.name] = tqdm(
                total=100, bar_format="{bar:30}{desc}", disable=not self.live, leave=True
            )
        self.bars[job.name].n = int(share)
        self.bars[job.name].set_description_str(f" {job.name}: {text or 'working'}")
        if int(share) // 20 > self.told[job.name]:
            self.told[job.name] = int(share) // 20
            self._tell(f"{job.name}: {share}%, {text}")

    def done(self, job: Job) -> None:
        self.bars[job.name].n = 100
        self.bars[job.name].set_description_str(f" {job.name}: done")
        self._tell(f"{job.name}: done")

    def _tell(self, text: str) -> None:
        if not self.live:
            print(f"[{time.monotonic() - self.began:4.0f} s] {text}", flush=True)

    def close(self) -> None:
        for bar in self.bars.values():
            bar.close()
