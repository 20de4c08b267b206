"""
Steps that are run once: each a process with a log, a folder of its own, and a mark when done.

    <folder>/steps/<name>/        what the step makes; begun.json, done.json
    <folder>/logs/<name>.log      what it printed, all attempts at this command

The mark holds a checksum of the command and of the steps that it builds on. A step without its
mark is started again in the folder it had, so that a training goes on from its checkpoint; a
step whose checksum is another begins with an empty folder.
"""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.reproduce import machine
from p2bot_parlai.tools.reproduce.commands import PARLAI
from p2bot_parlai.tools.reproduce.lanes import Job, Shown, failure, start

# seconds between two looks at a log, and those that a process has to end in
LOOK, END = 0.5, 10
FOLDER = "{folder}/"  # stands for the folder in a checksum: it may be moved


@dataclass(frozen=True)
class Step:
    """
    :param command: what follows the program.
    :param needs: names of the steps that must be done before.
    :param makes: files that it leaves; without them it is not done.
    :param settings: text that the command reads (an option preset), part of the checksum.
    :param scrap: patterns in the step's folder of what is deleted when it is done.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    makes: tuple[Path, ...] = ()
    settings: str = ""
    scrap: tuple[str, ...] = ()


class Runner:
    """
    :param folder: where everything is written.
    :param steps: each after those that it needs.
    :param program: what the commands of the steps are arguments of.
    """

    def __init__(self, folder: Path, steps: Sequence[Step], program: Sequence[str] = PARLAI):
        self.folder, self.steps, self.program = folder, steps, program
        self.logs = folder / "logs"
        self.checksums: dict[str, str] = {}
        for step in steps:
            self.checksums[step.name] = self._checksum(step)

    def run(self) -> None:
        """
        Run what is not done yet.

        :raises P2botError: where a step fails, after the end of its log went to stderr; where
            another process is at work in the folder.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise P2botError(f"another parlai reproduce is at work in {self.folder}") from None
        try:
            for number, step in enumerate(self.steps, start=1):
                place = f"{number}/{len(self.steps)} {step.name}"
                if self.done(step):
                    print(f"{place}: done before", flush=True)
                else:
                    print(place, flush=True)
                    self._run(step)
        finally:
            lock.release()

    def done(self, step: Step) -> dict | None:
        """The mark of a step that is done by this very command, else None."""
        mark = _read(self.place(step.name) / "done.json")
        same = mark.get("checksum") == self.checksums[step.name]
        return mark if same and all(file.exists() for file in step.makes) else None

    def place(self, name: str) -> Path:
        """The folder of a step."""
        return self.folder / "steps" / name

    def _run(self, step: Step) -> None:
        place, checksum = self.place(step.name), self.checksums[step.name]
        begun = _read(place / "begun.json")
        if begun.get("checksum") != checksum:
            shutil.rmtree(place, ignore_errors=True)
            (self.logs / f"{step.name}.log").unlink(missing_ok=True)
            begun = {"checksum": checksum, "attempts": 0, "seconds": 0.0, "core_seconds": 0.0}
            begun["versions"] = []
        place.mkdir(parents=True, exist_ok=True)
        (place / "done.json").unlink(missing_ok=True)
        begun["attempts"] += 1
        if "versions" in begun and machine.versions() not in begun["versions"]:
            begun["versions"].append(machine.versions())
        _write(place / "begun.json", begun)
        clock, cores = time.monotonic(), _core_seconds()
        try:
            status = self._process(step)
        finally:
            begun["seconds"] += time.monotonic() - clock
            begun["core_seconds"] += _core_seconds() - cores
            _write(place / "begun.json", begun)
        missing = [str(file) for file in step.makes if not file.exists()]
        if status or missing:
            print(failure(Job(step.name, []), self.logs), file=sys.stderr)
            why = f"exit status {status}" if status else f"it left no {missing[0]}"
            raise P2botError(
                f"step {step.name} failed ({why}); its log is {self.logs / step.name}.log; "
                "steps that are done are kept for the next time"
            )
        for pattern in step.scrap:
            for file in place.glob(pattern):
                file.unlink()
        _write(place / "done.json", {**begun, "command": list(step.command)})

    def _process(self, step: Step) -> int:
        threads = os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count() or 1)
        job = Job(step.name, [*self.program, *step.command])
        shown = Shown(self.logs)
        process = start(job, self.logs, threads, mode="a")
        try:
            while True:
                shown.update(job)
                try:
                    status = process.wait(LOOK)
                    break
                except subprocess.TimeoutExpired:
                    continue
            if status == 0:
                shown.done(job)
            return status
        finally:
            shown.close()
            _end(process)

    def _checksum(self, step: Step) -> str:
        try:
            below = [self.checksums[name] for name in step.needs]
        except KeyError as error:
            raise ValueError(f"{step.name} needs {error}, which does not come before") from error
        here = f"{self.folder}{os.sep}"
        command = [
            FOLDER + part.removeprefix(here) if part.startswith(here) else part
            for part in step.command
        ]
        text = json.dumps([command, step.settings, below])
        return hashlib.sha256(text.encode()).hexdigest()


def made_with_others(marks: Mapping[str, dict]) -> str:
    """
    Which steps ran with other versions than those of now: a checksum does not hold them.

    :param marks: step -> what `Runner.done` has of it.
    :return: "torch 2.12.0: step, step; ..."; empty where there is none.
    """
    now, found = machine.versions(), {}
    for name, mark in marks.items():
        used = mark.get("versions")
        others = {
            f"{package} {version}"
            for versions in used or []
            for package, version in versions.items()
            if version != now.get(package)
        }
        if others or used is None:
            found.setdefault(", ".join(sorted(others)) or "not noted", []).append(name)
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in sorted(found.items()))


def _end(process: subprocess.Popen) -> None:
    """Nothing is left behind that would write into the folder later."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _core_seconds() -> float:
    """Of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read(path: Path) -> dict:
    """A mark; {} where there is none or a broken one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, mark: dict) -> None:
    """Under another name first: a mark is whole or not there."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(mark, indent=1), encoding="utf-8")
    os.replace(temporary, path)
