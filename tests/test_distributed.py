"""Two processes on gloo learn what one process learns from the same data."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import people
import pytest
import tiny
import torch
from distributed_worker import dialogue
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.utils import distributed

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def assert_two_processes_agree_with_one(folder, convai2, *more, atol=1e-6, rtol=1e-5) -> None:
    given = str(free_port()), folder, convai2, folder / "weights", *more
    worker = [sys.executable, HERE / "distributed_worker.py", *given]
    found = subprocess.run(worker, stderr=subprocess.PIPE, text=True, timeout=240, check=False)
    assert found.returncode == 0, found.stderr
    one, first, second = (
        torch.load(f"{folder / 'weights'}.{name}", weights_only=True) for name in ("alone", 0, 1)
    )
    for name, weight in one.items():
        assert weight.dtype == torch.float32 or "adapter" in str(more)
        torch.testing.assert_close(first[name], second[name], atol=0, rtol=0)
        torch.testing.assert_close(first[name], weight, atol=atol, rtol=rtol)


SUPERVISED = {
    "whole": (),
    "in bf16": ("precision=bf16",),
    "in pieces": ("tokens_per_batch=100", "update_freq=3"),
    "adapters": ("tokens_per_batch=100", "update_freq=3", "adapter=lora", "adapter_rank=2"),
}
ENCODERS = {
    "receiver": ("model=p2bot/receiver", "update_freq=2"),
    "receiver's adapters": ("model=p2bot/receiver", "adapter=lora", "adapter_rank=2"),
    "nli": ("model=p2bot/persona_nli",),
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", SUPERVISED)
def test_two_processes_learn_as_one(convai2, tiny_model, tmp_path, stage):
    """
    Also where the halves of the batch differ in tokens and in distractors: means are over all
    workers, not means of means; also where each has another number of pieces. In bfloat16
    gradients are summed in fp32.
    """
    more = SUPERVISED[stage]
    if stage == "adapters":
        more += (f"backbone={tiny.save_backbone(tmp_path / 'base')}",)
    else:
        Path(tmp_path / "model.dict").write_bytes(Path(tiny_model + ".dict").read_bytes())
    close = {"atol": 2e-3, "rtol": 1e-2} if stage == "in bf16" else {}
    assert_two_processes_agree_with_one(tmp_path, convai2, *more, **close)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ENCODERS)
def test_two_processes_train_encoders_as_one(convai2, tiny_receiver, tmp_path, stage):
    more = ENCODERS[stage]
    if "adapters" in stage:
        more += (f"encoder={people.save_encoder(tmp_path / 'base', dropout=0.0)}",)
    else:
        Path(tmp_path / "model.dict").write_bytes(Path(tiny_receiver + ".dict").read_bytes())
    assert_two_processes_agree_with_one(tmp_path, convai2, *more)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["batch mean", "groups", "adapters"])
def test_two_processes_play_as_one(convai2, tiny_model, tiny_receiver, tmp_path, stage):
    """Baselines are over all workers; one of them has supervised rows besides."""
    if stage == "adapters":
        given = {**tiny.PRETRAINED, "backbone": tiny.save_backbone(tmp_path / "base")}
        given |= {"adapter": "lora", "adapter_rank": 2, "max_train_steps": 2}
        tiny_model = str(tmp_path / "adapted")
        tiny.train(convai2, tiny_model, skip_generation=True, **given)
    more = tiny_model, tiny_receiver
    if stage == "groups":
        more += "rl_baseline=group", "rollouts_per_opening=2", "selfplay_epochs=2"
    Path(tmp_path / "model.dict").write_bytes(Path(tiny_model + ".dict").read_bytes())
    assert_two_processes_agree_with_one(tmp_path, convai2, *more)


def test_an_update_sends_the_gradients_of_the_adapters_once(convai2, tmp_path):
    """Not the frozen weights, and not those of each piece."""
    given = {**tiny.PRETRAINED, "backbone": tiny.save_backbone(tmp_path / "base")}
    given |= {"adapter": "lora", "adapter_rank": 2, "tokens_per_batch": 100, "update_freq": 2}
    sent = []

    def count(_, bucket):
        sent.append(bucket.buffer().nbytes)
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    group = {"distributed_world_size": 1}
    where = f"file://{tmp_path}/group"
    with distributed.distributed_context(0, Opt(group), init_method=where):
        agent = tiny.agent(convai2, tmp_path / "model", **given)
        agent.model.register_comm_hook(None, count)
        for numbers in ((0, 1), (2, 3)):
            told = [Message({**dialogue(number), "episode_done": True}) for number in numbers]
            agent.batch_act([agent.clone().observe(message) for message in told])
    learnt = sum(p.numel() for p in agent.network.parameters() if p.requires_grad)
    assert sum(sent) == 4 * learnt < sum(4 * p.numel() for p in agent.network.parameters())


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
    first, second = (worker["random"]["python"] for worker in one["p2bot"]["run"]["workers"])
    assert first != second  # or both would draw the same examples
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
