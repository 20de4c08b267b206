"""How errors end a command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from p2bot_parlai.plugin import command

START = (
    "from p2bot_parlai import errors; from p2bot_parlai.plugin import command; command.install();"
)


def run(code, *arguments, **env):
    return subprocess.run(
        [sys.executable, "-c", START + code, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_error_for_users_is_one_line_on_stderr_and_status_1():
    done = run("print('before'); raise errors.P2botError('a: no such file;\\n  use b')")
    assert done.returncode == 1
    assert done.stdout == "before\n"
    assert done.stderr == "p2bot: error: a: no such file; use b\n"


def test_a_command_that_was_called_wrongly_ends_with_status_2():
    done = run("raise errors.UsageError('--a 3 is not below 2')")
    assert (done.returncode, done.stderr) == (2, "p2bot: error: --a 3 is not below 2\n")


def test_its_cause_is_not_shown():
    done = run("\ntry: 1 / 0\nexcept Exception as e: raise errors.P2botError('a') from e")
    assert done.stderr == "p2bot: error: a\n"


@pytest.mark.parametrize("arguments, env", [(["--verbose"], {}), ([], {"P2BOT_TRACEBACK": "1"})])
def test_the_traceback_is_there_for_who_wants_it(arguments, env):
    done = run("raise errors.P2botError('a')", *arguments, **env)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "P2botError: a" in done.stderr


@pytest.mark.parametrize(
    "given, wants",
    [
        *(("--verbose", True), ("-v --seed 1", True), ("--verbose=true", True), ("--debug", True)),
        *(("--loglevel debug", True), ("--loglevel info", False), ("--seed 1", False)),
        *(("", False), ("--verbose false", False), ("--verbose=no", False)),
        ("--verbose-topk 1", False),
    ],
)
def test_and_for_nobody_else(given, wants, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["parlai", *given.split()])
    assert command.wants_traceback() == wants


def test_other_exceptions_go_to_the_hook_that_was_there():
    assert run("raise RuntimeError('not ours')").stderr.startswith("Traceback")
    before = "import sys; sys.excepthook = lambda *args: print('theirs', args[1]);"
    done = subprocess.run(
        [sys.executable, "-c", before + START + "raise ValueError('x')"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("theirs x\n", "", 1)


RUN = """
from parlai.core.opt import Opt
def run(opt): raise {}
run(Opt({}))
"""
MODEL = Path(__file__).parent / "golden/p2bot_sketch"
OURS, THEIRS = {"task": "p2bot:sketch"}, {"model": "repeat_query", "task": "convai2"}


def test_ctrl_c_in_a_run_of_ours_is_one_word_and_the_status_of_an_interrupted_program():
    done = run(RUN.format("KeyboardInterrupt", OURS))
    assert done.stderr == "\ninterrupted\n"
    assert done.returncode == -signal.SIGINT  # which a shell reports as 130


def test_ctrl_c_while_a_model_of_ours_loads_waits_for_nothing_more():
    watch = "import atexit; atexit.register(lambda: print('transformers' in sys.modules));"
    done = run(f"import sys; {watch} raise KeyboardInterrupt", "interactive", "-mf", str(MODEL))
    assert (done.stdout, done.stderr) == ("False\n", "\ninterrupted\n")


@pytest.mark.parametrize(
    "words, ours",
    [
        ("eval_model -t p2bot:sketch", True),
        ("interactive -mf zoo:p2bot/none", True),
        ("interactive -mf zoo:blender/blender_90M/model", False),
        ("eval_model -m repeat_query -t convai2", False),
    ],
)
def test_whose_run_is_interrupted_while_it_loads(words, ours, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["parlai", *words.split()])
    assert (command.explained(KeyboardInterrupt(), None) is not None) == ours


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "OSError(28, 'No space left', 'x')"])
def test_what_ends_a_run_of_others_ends_it_as_ever(error):
    assert run(RUN.format(error, THEIRS)).stderr.startswith("Traceback")
    assert not run(RUN.format(error, OURS)).stderr.startswith("Traceback")


@pytest.mark.slow
def test_the_error_of_a_worker_process_is_one_line_too(tmp_path):
    script = tmp_path / "workers.py"
    script.write_text(
        f"{START}\n"
        "import torch.multiprocessing as workers\n"
        "def work(rank): raise errors.P2botError('a')\n"
        "if __name__ == '__main__': workers.spawn(work, nprocs=2)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.strip().split("\n")[-1] == "p2bot: error: a"
    assert "Traceback" not in done.stderr
