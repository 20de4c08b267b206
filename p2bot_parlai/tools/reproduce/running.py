"""
Run steps once: each is a process with a log and a folder of its own, and a mark when done.

    <folder>/steps/<name>/        what the step makes; begun.json, done.json
    <folder>/logs/<name>.log      what it printed, all attempts at this command

The mark holds a checksum of the command and of the steps it builds on. A step without a mark
is started again in its old folder, so that a training resumes from its checkpoint; a step
whose checksum has changed starts with an empty folder.
"""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import whole
from p2bot_parlai.tools.reproduce import machine

# the stock command, where P²Bot is known whatever else is installed
PARLAI = (sys.executable, "-m", "p2bot_parlai")
# seconds between two looks at the processes, and those that a process has to end in
LOOK, END = 0.5, 10
PROGRESS = re.compile(r"training (\d+)% done, (.*)")
FOLDER = "{folder}/"  # stands for the folder in a checksum: it may be moved


def arguments(script: str, options: Mapping) -> tuple[str, ...]:
    """A command's arguments: options as ``--name value``, a tuple as several values."""
    found = [script]
    for name, value in options.items():
        found.append("-o" if name == "o" else f"--{name.replace('_', '-')}")
        found += map(str, value if isinstance(value, tuple) else [value])
    return tuple(found)


@dataclass(frozen=True)
class Step:
    """
    :param command: what follows the program.
    :param needs: names of the steps that must be done before.
    :param makes: files that it leaves; without them it is not done.
    :param settings: text that the command reads (an option preset), part of the checksum.
    :param scrap: pattern of files in the step's folder that are deleted when it is done.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    makes: tuple[Path, ...] = ()
    settings: str = ""
    scrap: str = ""


@dataclass
class Attempt:
    """A step whose process is running. :param mark: what its begun.json will hold."""

    step: Step
    mark: dict
    process: subprocess.Popen
    since: float = field(default_factory=time.monotonic)
    told: int = 0  # tenths of the progress

    def ended(self, wait: float = 0) -> bool:
        """Whether it ends within ``wait`` seconds; its time is then in the mark."""
        before = _core_seconds()
        try:
            self.process.wait(wait)
        except subprocess.TimeoutExpired:
            return False
        self.mark["core_seconds"] += _core_seconds() - before
        self.mark["seconds"] += time.monotonic() - self.since
        return True

    def tell(self, log: Path) -> None:
        """Print the progress of a training at every tenth."""
        found = PROGRESS.findall(log.read_text(encoding="utf-8", errors="replace"))
        if found and int(found[-1][0]) // 10 > self.told:
            self.told = int(found[-1][0]) // 10
            print(f"{self.step.name}: {found[-1][0]}%, {found[-1][1]}", flush=True)


class Runner:
    """
    :param folder: where everything is written.
    :param steps: each after those that it needs.
    :param program: the command whose arguments the steps hold.
    :param jobs: steps that run at a time, each with its share of the cores.
    """

    def __init__(
        self, folder: Path, steps: Sequence[Step], program: Sequence[str] = PARLAI, jobs: int = 1
    ):
        self.folder, self.steps, self.program, self.jobs = folder, steps, program, jobs
        self.logs = folder / "logs"
        self.checksums: dict[str, str] = {}
        for step in steps:
            self.checksums[step.name] = self._checksum(step)

    def run(self) -> None:
        """
        Run what is not done yet.

        :raises P2botError: where a step fails, after printing the end of its log to stderr;
            where another process is at work in the folder.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                self._run()
        except Timeout:
            raise P2botError(f"another parlai reproduce is at work in {self.folder}") from None

    def done(self, step: Step) -> dict | None:
        """The mark of a step that is done by this very command, else None."""
        mark = _read(self.place(step.name) / "done.json")
        same = mark.get("checksum") == self.checksums[step.name]
        return mark if same and all(file.exists() for file in step.makes) else None

    def place(self, name: str) -> Path:
        """The folder of a step."""
        return self.folder / "steps" / name

    def _run(self) -> None:
        places = {s.name: f"{n}/{len(self.steps)} {s.name}" for n, s in enumerate(self.steps, 1)}
        waiting = [step for step in self.steps if not self.done(step)]
        undone = {step.name for step in waiting}
        for name, place in places.items():
            if name not in undone:
                print(f"{place}: done before", flush=True)
        running: list[Attempt] = []
        try:
            while waiting or running:
                ready = [step for step in waiting if undone.isdisjoint(step.needs)]
                for step in ready[: self.jobs - len(running)]:
                    print(places[step.name], flush=True)
                    waiting.remove(step)
                    running.append(self._start(step))
                time.sleep(LOOK)
                for attempt in list(running):
                    attempt.tell(self._log(attempt.step))
                    if attempt.ended():
                        running.remove(attempt)
                        self._finish(attempt)
                        undone.remove(attempt.step.name)
        finally:
            for attempt in running:  # nothing is left that would write into the folder later
                attempt.process.terminate()
                if not attempt.ended(END):
                    attempt.process.kill()
                    attempt.ended(END)
                _write(self.place(attempt.step.name) / "begun.json", attempt.mark)

    def _start(self, step: Step) -> Attempt:
        place, log = self.place(step.name), self._log(step)
        mark = _read(place / "begun.json")
        if mark.get("checksum") != self.checksums[step.name]:
            shutil.rmtree(place, ignore_errors=True)
            log.unlink(missing_ok=True)
            mark = {"checksum": self.checksums[step.name], "attempts": 0, "versions": []}
            mark |= {"seconds": 0.0, "core_seconds": 0.0}
        place.mkdir(parents=True, exist_ok=True)
        (place / "done.json").unlink(missing_ok=True)
        mark["attempts"] += 1
        mark["versions"] = sorted({*mark["versions"], machine.versions()})
        _write(place / "begun.json", mark)
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        with log.open("a") as file:
            process = subprocess.Popen(
                [*self.program, *step.command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": threads, **os.environ},
            )
        return Attempt(step, mark, process)

    def _finish(self, attempt: Attempt) -> None:
        step, place, status = attempt.step, self.place(attempt.step.name), attempt.process.poll()
        _write(place / "begun.json", attempt.mark)
        missing = [str(file) for file in step.makes if not file.exists()]
        if status or missing:
            log = self._log(step)
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            print("\n".join(lines[-15:]), file=sys.stderr)
            why = f"exit status {status}" if status else f"it left no {missing[0]}"
            raise P2botError(
                f"step {step.name} failed ({why}); its log is {log}; finished steps are kept: "
                "to resume, repeat the command"
            )
        for file in place.glob(step.scrap) if step.scrap else ():
            file.unlink()
        _write(place / "done.json", {**attempt.mark, "command": list(step.command)})

    def _log(self, step: Step) -> Path:
        return self.logs / f"{step.name}.log"

    def _checksum(self, step: Step) -> str:
        here = f"{self.folder}{os.sep}"
        command = [
            FOLDER + part.removeprefix(here) if part.startswith(here) else part
            for part in step.command
        ]
        below = [self.checksums[name] for name in step.needs]
        text = json.dumps([command, step.settings, below])
        return hashlib.sha256(text.encode()).hexdigest()


def _core_seconds() -> float:
    """Processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read(path: Path) -> dict:
    """A mark; {} where there is none or a broken one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write(path: Path, mark: dict) -> None:
    with whole(str(path)) as temporary:
        Path(temporary).write_text(json.dumps(mark, indent=1), encoding="utf-8")
