"""Two processes on gloo learn what one process learns from the same data."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def learn(processes: int, folder, convai2, *models):
    out, port = folder / f"weights{processes}", free_port()
    running = [
        subprocess.Popen(
            [sys.executable, HERE / "distributed_worker.py", *map(str, (rank, processes, port))]
            + [str(folder), str(convai2), str(out), *models],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    for process in running:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    return [torch.load(f"{out}.{rank}", weights_only=True) for rank in range(processes)]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["supervised", "in bf16", "in pieces", "self-play", "groups"])
def test_two_processes_agree_with_one(convai2, tiny_model, tiny_receiver, tmp_path, stage):
    """
    Also where the halves of the batch differ in tokens and in distractors: means and baselines are
    over all workers, not means of means; also where each has another number of pieces. In bfloat16
    gradients are summed in fp32.
    """
    Path(tmp_path / "model.dict").write_bytes(Path(tiny_model + ".dict").read_bytes())
    if stage in ("self-play", "groups"):
        more = tiny_model, tiny_receiver
        if stage == "groups":
            more += "rl_baseline=group", "rollouts_per_opening=2", "selfplay_epochs=2"
    else:  # not Adam, whose first steps are as long where a gradient is next to nothing
        more = "optimizer=sgd", "learningrate=0.5"
        more += ("precision=bf16",) if stage == "in bf16" else ()
        more += ("tokens_per_batch=100", "update_freq=3") if stage == "in pieces" else ()
    (one,) = learn(1, tmp_path, convai2, *more)
    first, second = learn(2, tmp_path, convai2, *more)
    close = {"atol": 2e-3, "rtol": 1e-2} if stage == "in bf16" else {"atol": 1e-6, "rtol": 1e-5}
    for name, weight in one.items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(first[name], second[name], atol=0, rtol=0)
        torch.testing.assert_close(first[name], weight, **close)


def multiprocessing_train(convai2, path, **changes) -> list[str]:
    """The command for two processes, from the dictionary beside ``path``."""
    options = tiny.options(convai2, path, **{"batchsize": 2, "max_train_steps": 3, **changes})
    options |= {"distributed_world_size": 2, "port": free_port(), "skip_generation": True}
    del options["verbose"]
    flags = [part for k, v in options.items() for part in (f"--{k.replace('_', '-')}", str(v))]
    return [sys.executable, "-m", "p2bot_parlai", "multiprocessing_train", *flags]


@pytest.mark.slow
def test_sigterm_to_one_process_or_to_all_and_the_same_command_resumes(
    convai2, tiny_model, tmp_path
):
    commands = {}
    for name in ("unbroken", "stopped"):
        path = tmp_path / name
        Path(f"{path}.dict").write_bytes(Path(tiny_model + ".dict").read_bytes())
        changes = {"max_train_steps": 80, "log_every_n_steps": 1, "loglevel": "info", "seed": 3}
        commands[name] = multiprocessing_train(convai2, path, **changes)
    for everybody in (False, True):
        assert_ends_when_asked(commands["stopped"], everybody)
        states = torch.load(tmp_path / "stopped.checkpoint", weights_only=True)
        assert 0 < states["number_training_updates"] < 80
    for command in commands.values():
        subprocess.run(command, check=True, capture_output=True, timeout=240)
    one, other = (torch.load(tmp_path / name, weights_only=True) for name in commands)
    assert len(one["p2bot"]["run"]["workers"]) == 2
    for name, weight in one["model"].items():
        assert not name.startswith("module.")
        torch.testing.assert_close(other["model"][name], weight, atol=1e-6, rtol=0)


def assert_ends_when_asked(command: list[str], everybody: bool) -> None:
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    said = []
    for line in running.stdout:
        said.append(line)
        if "% done" in line:
            break
    (os.killpg if everybody else os.kill)(running.pid, signal.SIGTERM)
    said.append(running.communicate(timeout=120)[0])
    assert running.returncode == 0, "".join(said)
    assert "to resume, repeat the command" in said[-1]
