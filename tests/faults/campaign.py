"""
Kill training at many moments, start it again by the same command, compare with the unbroken run.

    OMP_NUM_THREADS=1 python tests/faults/campaign.py --folder FOLDER --moments 50 --seed 1

For each stage (supervised, receiver, self-play): one run that nobody disturbs, then as many runs
as `--moments` that are killed by SIGKILL, half of them at a random time, the others where a file
is being written, in a validation, or at a log line. ``--operations every`` besides kills one run
before every single operation on a file (opening, renaming, deleting) of the unbroken one, and
one in the middle of every writing.

After each kill the files under final names must be whole; after the run that came back the
weights must be those of the unbroken one to 1e-6 and nothing temporary be left. Each moment is a
line of FOLDER/moments.jsonl; the exit status is 1 where one failed.
"""

import argparse
import itertools
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import checking
import killing
import stages

OPERATIONS = ("none", "some", "every")
SOME = 3  # operations a stage, spread over the run


@dataclass
class Moment:
    """
    When to kill a run.

    :param aim: what it is aimed at, for the table. :param until: see `killing.wait`.
    """

    aim: str
    detail: str
    until: object = None
    hook: object = None


@dataclass
class Stage:
    name: str
    folder: Path  # of all stages
    steps: int
    rng: random.Random
    operations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def unbroken(self) -> Path:
        return self.folder / self.name

    @property
    def broken(self) -> Path:
        return self.folder / "killed"

    def run(self, place: Path, log: Path, until=None, hook=None) -> int:
        arguments = stages.command(self.name, place / "model", self.folder, self.steps)
        pid = killing.start(arguments, log, hook)
        return killing.wait(pid, until) if until else killing.wait(pid)

    def run_unbroken(self) -> None:
        """The second of two runs is timed: the first makes the corpus."""
        for _ in range(2):
            shutil.rmtree(self.unbroken, ignore_errors=True)
            self.unbroken.mkdir(parents=True)
            log, record = self.folder / f"{self.name}.log", self.folder / f"{self.name}.operations"
            log.unlink(missing_ok=True)
            with open(record, "wb") as file:
                began = time.monotonic()
                hook = killing.FileOperations(self.unbroken, record=file.fileno())
                status = self.run(self.unbroken, log, hook=hook)
                self.seconds = time.monotonic() - began
            if status:
                sys.exit(
                    f"the unbroken run of {self.name} failed: {log}\n{log.read_text()[-2000:]}"
                )
        self.operations = record.read_text().splitlines()

    # ------------------------------------------------------------------------ moments
    def moments(self) -> Iterator[Moment]:
        """
        Without end: half at any time, a sixth each at files that are written, validations, log
        lines.
        """
        log = self.folder / "killed.log"
        text = (self.folder / f"{self.name}.log").read_text()
        files = sum(line.startswith("open") for line in self.operations)
        for number in itertools.count():
            kind = number % 6
            if kind < 3:
                seconds = self.rng.uniform(0, self.seconds)
                yield Moment("any time", f"{seconds:.2f} s", killing.after(seconds))
            elif kind == 3:
                which = self.rng.randrange(files)
                until = killing.at_temporary_file(self.broken, which)
                yield Moment("a file", f"file {which}", until)
            else:
                aim, mark = ("validating", "running eval"), ("logging", "total_steps")
                aim, mark = (aim, mark)[kind - 4]
                which, delay = self.rng.randrange(text.count(mark)), self.rng.uniform(0, 0.03)
                until = killing.at_line(log, mark, which, delay)
                yield Moment(aim, f"{which}, {1000 * delay:.0f} ms later", until)

    def operation_moments(self, which: str) -> Iterator[Moment]:
        numbers = range(len(self.operations) if which != "none" else 0)
        if which == "some":
            numbers = sorted(self.rng.sample(numbers, min(SOME, len(numbers))))
        for number in numbers:
            what = self.operations[number]
            torn = [False, True] if what.startswith("open") else [False]
            if which == "some":
                torn = [self.rng.choice(torn)]
            for cut in torn:
                hook = killing.FileOperations(self.broken, die_at=number, torn=cut)
                aim = "while writing" if cut else "between files"
                yield Moment(aim, f"{number}: {what}", hook=hook)

    # ------------------------------------------------------------------------- one kill
    def kill(self, moment: Moment) -> dict:
        """What happened, with the list of ``problems``."""
        log = self.folder / "killed.log"
        log.unlink(missing_ok=True)
        shutil.rmtree(self.broken, ignore_errors=True)
        self.broken.mkdir()
        status = self.run(self.broken, log, moment.until, moment.hook)
        found = {
            "stage": self.name,
            "aim": moment.aim,
            "detail": moment.detail,
            "status": status,
            "doing": doing(log),
            "temporary": checking.temporary(self.broken),
            "steps": checking.steps(self.broken),
            "problems": [f"after the kill: {p}" for p in checking.broken(self.broken)],
        }
        again = self.run(self.broken, log)
        if again:
            found["problems"].append(f"the same command ended with status {again}")
        else:
            found["problems"] += checking.differences(self.broken, self.unbroken)
        if found["problems"]:
            kept = self.folder / f"problem_{self.name}_{int(time.time())}"
            shutil.copytree(self.broken, kept)
            shutil.copy(log, kept / "log")
            found["kept"] = str(kept)
        return found


def kills(stage: Stage, count: int, operations: str) -> Iterator[dict]:
    """Runs that came to their end before their moment are not counted."""
    moments, killed = stage.moments(), 0
    while killed < count:
        found = stage.kill(next(moments))
        killed += found["status"] < 0
        yield found
    for moment in stage.operation_moments(operations):
        yield stage.kill(moment)


def doing(log: Path) -> str:
    """What a run was doing when it died, by the end of its log."""
    text = log.read_text() if log.exists() else ""
    marks = {
        "loading": "loading",
        "training...": "training",
        "total_steps": "training",
        "running eval": "validating",
        "eval completed": "training",
        "saving best valid": "saving",
        "saving model checkpoint": "saving",
    }
    places = {text.rfind(mark): what for mark, what in marks.items()}
    last = max(places)
    return places[last] if last >= 0 else "loading"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="is made; nothing else in it")
    parser.add_argument("--stages", default=",".join(stages.STAGES))
    parser.add_argument("--moments", type=int, default=50, help="kills a stage (50)")
    parser.add_argument("--operations", choices=OPERATIONS, default="none")
    parser.add_argument("--steps", type=int, default=stages.STEPS, help="updates of a run (26)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    given = parser.parse_args()
    killing.import_everything()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed, counted = 0, Counter()
    with open(folder / "moments.jsonl", "w", encoding="utf-8") as report:
        for name in stages.STAGES:
            stage = Stage(name, folder, given.steps, random.Random(f"{given.seed} {name}"))
            stage.run_unbroken()  # self-play needs the models of the others
            print(f"{name}: unbroken {stage.seconds:.1f} s", flush=True)
            if name not in given.stages.split(","):
                continue
            for found in kills(stage, given.moments, given.operations):
                report.write(json.dumps(found) + "\n")
                report.flush()
                failed += bool(found["problems"])
                print(line(found), flush=True)
                if found["status"] < 0:
                    counted[name, found["aim"], found["doing"]] += 1
    for key, count in sorted(counted.items()):
        print(*key, count, sep="\t")
    print(f"{sum(counted.values())} kills, {failed} failed")
    sys.exit(failed > 0)


def line(found: dict) -> str:
    told = "; ".join(found["problems"]) or "ok"
    what = found["doing"] if found["status"] < 0 else "not killed, it was at its end"
    return (
        f"{found['stage']}: {found['aim']} ({found['detail']}), {what}, "
        f"{found['steps']} steps saved, {len(found['temporary'])} temporary: {told}"
    )


if __name__ == "__main__":
    main()
