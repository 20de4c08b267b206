"""The step runner: what is done is not done again, and what was stopped goes on."""

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.reproduce import running
from p2bot_parlai.tools.reproduce.running import Runner, Step

PYTHON = (sys.executable, "-c")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(running, "LOOK", 0.01)


def step(folder: Path, name: str, code: str = "", needs=(), made: str = "out", **more) -> Step:
    """It notes that it ran in ``<folder>/ran`` and writes its file; ``code`` comes before."""
    out = folder / "steps" / name / made
    text = f"import sys\nopen(sys.argv[1], 'a').write({name!r} + ' ')\n{code}\n"
    text += "open(sys.argv[2], 'w').write('x')"
    return Step(name, (text, str(folder / "ran"), str(out)), tuple(needs), (out,), **more)


def ran(folder: Path) -> list[str]:
    return (folder / "ran").read_text().split()


def run(folder: Path, *steps: Step) -> Runner:
    runner = Runner(folder, steps, PYTHON)
    runner.run()
    return runner


def test_each_step_is_run_once_in_order(tmp_path, capsys):
    """Also in a folder that was moved; checkpoints are removed when their step is done."""

    def steps(folder):
        code = "open(sys.argv[2][:-3] + 'model.checkpoint', 'w').write('x')"
        first = step(folder, "a", code, scrap="*.checkpoint*")
        return [first, step(folder, "b", needs=["a"])]

    before, folder = tmp_path / "before", tmp_path / "after"
    run(before, *steps(before))
    assert not (before / "steps/a/model.checkpoint").exists()
    before.rename(folder)
    runner = run(folder, *steps(folder))
    assert ran(folder) == ["a", "b"]
    assert "2/2 b: done before" in capsys.readouterr().out
    mark = runner.done(steps(folder)[1])
    assert mark["attempts"] == 1 and mark["seconds"] > 0 and mark["core_seconds"] > 0


def test_a_changed_command_runs_again_with_what_builds_on_it(tmp_path):
    second, other = step(tmp_path, "b", needs=["a"]), step(tmp_path, "c")
    run(tmp_path, step(tmp_path, "a"), second, other)
    (tmp_path / "steps/a/model.checkpoint").write_text("of the old command")
    run(tmp_path, step(tmp_path, "a", settings="another preset"), second, other)
    assert ran(tmp_path) == ["a", "b", "c", "a", "b"]
    assert not (tmp_path / "steps/a/model.checkpoint").exists()


@pytest.mark.parametrize("damage", ["lost", "broken"])
def test_what_is_not_whole_is_made_again(tmp_path, damage):
    run(tmp_path, step(tmp_path, "a"))
    if damage == "lost":
        (tmp_path / "steps/a/out").unlink()
    else:
        (tmp_path / "steps/a/done.json").write_text('{"checksum": ')
    run(tmp_path, step(tmp_path, "a"))
    assert ran(tmp_path) == ["a", "a"]


def test_a_failure_shows_its_log_and_keeps_what_is_done(tmp_path, capsys):
    flag = tmp_path / "mended"
    code = f"import os\nif not os.path.exists({str(flag)!r}): raise SystemExit('no such thing')"
    steps = [step(tmp_path, "a"), step(tmp_path, "b", code), step(tmp_path, "c")]
    with pytest.raises(P2botError, match=r"step b failed \(exit status 1\).*logs/b.log"):
        run(tmp_path, *steps)
    assert "no such thing" in capsys.readouterr().err
    assert ran(tmp_path) == ["a", "b"]
    # what a training left is there for its second attempt
    (tmp_path / "steps/b/model.checkpoint").write_text("half")
    flag.touch()
    runner = run(tmp_path, *steps)
    assert ran(tmp_path) == ["a", "b", "b", "c"]
    assert (tmp_path / "steps/b/model.checkpoint").read_text() == "half"
    assert runner.done(steps[1])["attempts"] == 2


def test_jobs_run_side_by_side_after_what_they_need(tmp_path, capsys):
    """``a`` ends only when ``b`` has run, and ``c`` starts after it."""
    wait = f"import os, time\nwhile not os.path.exists({str(tmp_path / 'steps/b/out')!r}):\n"
    progress = "print('training 50% done, 3 left', flush=True)\n"
    steps = [
        step(tmp_path, "a", progress + wait + "    time.sleep(0.01)"),
        step(tmp_path, "c", needs=["a"]),
        step(tmp_path, "b"),
    ]
    runner = Runner(tmp_path, steps, PYTHON, jobs=2)
    runner.run()
    assert sorted(ran(tmp_path)[:2]) == ["a", "b"] and ran(tmp_path)[2] == "c"
    assert all(runner.done(step) for step in steps)
    assert "a: 50%, 3 left" in capsys.readouterr().out


def test_a_step_that_fails_ends_the_others(tmp_path):
    steps = [
        step(tmp_path, "long", "import time; time.sleep(600)"),
        step(tmp_path, "bad", "raise SystemExit('no such thing')"),
    ]
    with pytest.raises(P2botError, match="step bad failed"):
        Runner(tmp_path, steps, PYTHON, jobs=2).run()
    assert json.loads((tmp_path / "steps/long/begun.json").read_text())["seconds"] > 0


def test_one_folder_is_for_one_run(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(P2botError, match="another parlai reproduce"):
        run(tmp_path, step(tmp_path, "a"))


STOPPED = """
    import sys
    from pathlib import Path
    from p2bot_parlai.tools.reproduce.running import Runner, Step

    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    Runner(Path(sys.argv[1]), [Step("long", (code, sys.argv[2]))], (sys.executable, "-c")).run()
"""


@pytest.mark.slow
def test_ctrl_c_ends_the_step_and_leaves_no_mark(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDWR)  # does not wait for a writer
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STOPPED), str(tmp_path), str(pipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready, _, _ = select.select([reading], [], [], 300)
        assert ready
        child = int(os.read(reading, 20))
        parent.send_signal(signal.SIGINT)
        parent.communicate(timeout=300)
    finally:
        parent.kill()
        os.close(reading)
    assert parent.returncode == -signal.SIGINT
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not (tmp_path / "steps/long/done.json").exists()
    begun = json.loads((tmp_path / "steps/long/begun.json").read_text())
    assert begun["attempts"] == 1 and begun["seconds"] > 0
