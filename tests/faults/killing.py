"""
Training runs as children of this process, which has imported everything once, and their ends.

A child is a fork: it begins to train within milliseconds. This process itself must compute
nothing, as torch's threads would not live on in a child.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from parlai.core.script import setup_script_registry, superscript_main

from p2bot_parlai import plugin

DEADLINE = 300.0  # seconds after which a child hangs


# what a training run imports besides the scripts
LAZY = (
    "nltk.translate.bleu_score",
    "p2bot_parlai.agents.p2bot",
    "p2bot_parlai.agents.receiver",
    "p2bot_parlai.tasks.persona_perception.agents",
    "p2bot_parlai.tasks.selfplay.agents",
    "p2bot_parlai.method.selfplay",
    "p2bot_parlai.tasks.sketch.agents",
    "parlai.agents.p2bot.p2bot",
    "parlai.agents.p2bot.receiver",
    "parlai.tasks.p2bot.agents",
    "parlai.tasks.p2bot.worlds",
)


def import_everything() -> None:
    """Once for all children, without computing anything."""
    torch.set_num_threads(1)
    setup_script_registry()
    plugin.register()
    for name in LAZY:
        importlib.import_module(name)


class FileOperations:
    """
    An audit hook that counts what a process does to files of a folder: opening them for
    writing, renaming, deleting.

    :param record: a file descriptor that gets a line for each.
    :param die_at: number of the operation, from 0, before which the process is killed.
    :param torn: kill it in the middle of writing instead: the file is opened and cut short.
    """

    def __init__(self, folder: Path, record=None, die_at: int | None = None, torn: bool = False):
        self.folder, self.record, self.die_at, self.torn = str(folder), record, die_at, torn
        self.count, self._busy = 0, False

    def __call__(self, event: str, details: tuple) -> None:
        if self._busy or event not in ("open", "os.rename", "os.remove"):
            return
        path = details[1] if event == "os.rename" else details[0]
        if not isinstance(path, str) or os.path.dirname(path) != self.folder:
            return
        if event == "open" and not details[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if self.record is not None:
            os.write(self.record, f"{event} {os.path.basename(path)}\n".encode())
        if self.count == self.die_at:
            self._busy = True
            if self.torn and event == "open":
                flags = os.O_WRONLY | os.O_CREAT | (details[2] & (os.O_APPEND | os.O_TRUNC))
                os.write(os.open(path, flags), b'{"cut sho')
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def start(arguments: list[str], log: Path, hook: Callable | None = None) -> int:
    """Run ``parlai`` in a child; its process id. :param log: what it prints is added there."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout.reconfigure(line_buffering=True)  # a killed process flushes nothing
        if hook:
            sys.addaudithook(hook)
        status = _parlai(arguments)
        sys.stdout.flush()
    finally:
        os._exit(status)


def _parlai(arguments: list[str]) -> int:
    """The ``parlai`` command; its exit status as Python would give it."""
    sys.argv = ["parlai", *arguments]
    try:
        superscript_main(args=arguments)
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        try:
            sys.excepthook(*sys.exc_info())
        except SystemExit as end:
            return end.code or 0
        return 1
    return 0


def wait(pid: int, until: Callable[[float], bool] = lambda _: False) -> int:
    """
    The exit status of a child, or minus the signal that ended it; it is killed when ``until``
    is true of the seconds since now.

    :raises TimeoutError: where it hangs.
    """
    began = time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - began
        if until(passed) or passed > DEADLINE:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if passed > DEADLINE:
                raise TimeoutError(f"no end after {DEADLINE:.0f} s")
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)


# ---------------------------------------------------------------------- moments to kill at
def after(seconds: float) -> Callable[[float], bool]:
    return lambda passed: passed >= seconds


def at_temporary_file(folder: Path, number: int) -> Callable[[float], bool]:
    """When the ``number``-th file that is being written is seen, counted from 0."""
    seen, before = [0], [set()]

    def until(passed: float) -> bool:
        now = {entry.name for entry in os.scandir(folder) if ".tmp" in entry.name}
        seen[0] += len(now - before[0])
        before[0] = now
        return seen[0] > number

    return until


def at_line(log: Path, text: str, number: int, delay: float) -> Callable[[float], bool]:
    """``delay`` seconds after the log shows ``text`` for the ``number``-th time, from 0."""
    found: list[float] = []

    def until(passed: float) -> bool:
        if not found and log.exists() and log.read_text().count(text) > number:
            found.append(passed)
        return bool(found) and passed >= found[0] + delay

    return until
