"""How errors end a command."""

import os
import signal
import subprocess
import sys

import pytest

START = "from p2bot_parlai import command, errors; command.install(); command.install();"


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


def test_no_traceback_where_the_variable_says_no():
    assert run("raise errors.P2botError('a')", P2BOT_TRACEBACK="0").stderr == "p2bot: error: a\n"


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


def test_ctrl_c_is_one_word_and_the_status_of_an_interrupted_program():
    done = run("raise KeyboardInterrupt")
    assert done.stderr == "\ninterrupted\n"
    assert done.returncode == -signal.SIGINT
    shell = subprocess.run(
        ["sh", "-c", '"$0" -c "$1"; echo $?', sys.executable, START + "raise KeyboardInterrupt"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shell.stdout == "130\n"


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
