"""SIGTERM in each stage: a checkpoint, exit status 0, and a resumed run like the unbroken one."""

import os
import signal

import people
import pytest
import tiny
import torch
from parlai.scripts.train_model import set_seed, setup_args

from p2bot_parlai.parlai_support.training_loop import P2botTrainLoop

RHYTHM = {
    "max_train_steps": 8,
    "validation_every_n_steps": 3,
    "save_after_valid": True,
    "validation_max_exs": 4,
    "batchsize": 2,
    "learningrate": 1e-2,
    "seed": 3,
}


@pytest.fixture(params=["supervised", "receiver", "self-play"])
def options(request, convai2, tiny_model, tiny_receiver):
    """Of a run of a stage, but its model file."""
    if request.param == "receiver":
        folder = request.getfixturevalue("tmp_path") / "data"
        return people.options(people.write_people(folder), "", **RHYTHM)
    more = {}
    if request.param == "self-play":
        more = {"task": "p2bot:selfplay", "evaltask": "convai2:self_original"}
        more |= {"init_model": tiny_model, "receiver": tiny_receiver, "label_truncate": 8}
    return transmitter(convai2, **more)


def transmitter(convai2, **more) -> dict:
    return tiny.options(convai2, "", **{**RHYTHM, "skip_generation": True, **more})


def train(options, folder, at=None, **changes):
    """
    As train_model does. :param at: (name of a method, number of its call, from 1): SIGTERM
        comes in the middle of it.
    """
    folder.mkdir(exist_ok=True)
    given = {**options, **changes, "model_file": str(folder / "model")}
    loop = P2botTrainLoop(setup_args().parse_kwargs(**given))
    set_seed(given["seed"])
    if at:
        name, number = at
        kind = type(loop.agent)
        method, calls = getattr(kind, name), [0]

        def interrupted(self, batch):
            result = method(self, batch)
            calls[0] += 1
            if calls[0] == number:
                os.kill(os.getpid(), signal.SIGTERM)
            return result

        setattr(kind, name, interrupted)
    try:
        loop.train()
    finally:
        if at:
            setattr(kind, name, method)


def weights(folder) -> dict:
    found = {}
    for name in ("model", "model.checkpoint"):
        saved = torch.load(folder / name, weights_only=True)["model"]
        found |= {f"{name} {key}": weight for key, weight in saved.items()}
    return found


def assert_the_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, atol=1e-6, rtol=0)


def interrupt(options, folder, at, **changes) -> None:
    with pytest.raises(SystemExit) as end:
        train(options, folder, at, **changes)
    assert end.value.code == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow
def test_it_saves_and_ends_well_and_the_resumed_run_is_the_unbroken_one(
    options, tmp_path, monkeypatch
):
    """In a training step, and in the middle of the second validation."""
    said = []
    monkeypatch.setattr("p2bot_parlai.parlai_support.training_loop.logging.info", said.append)
    train(options, tmp_path / "whole")
    expected = weights(tmp_path / "whole")
    broken = tmp_path / "broken"
    interrupt(options, broken, ("train_step", 2))
    path = broken / "model.checkpoint"
    assert said[-1] == f"SIGTERM: saved {path}; to resume, repeat the command"
    assert steps(broken) == 2
    # two batches a validation: in the middle of the second one, after six steps
    interrupt(options, broken, ("eval_step", 3))
    assert steps(broken) == 6
    train(options, broken)
    assert_the_same(expected, weights(broken))


def steps(folder) -> int:
    saved = torch.load(folder / "model.checkpoint", weights_only=True)
    return saved["p2bot"]["run"]["counts"]["train_steps"]


def test_in_the_last_evaluation_the_same_command_evaluates_alone(convai2, tmp_path, monkeypatch):
    options = transmitter(convai2)
    train(options, tmp_path / "whole")
    interrupt(options, tmp_path / "broken", ("eval_step", 5))
    assert not (tmp_path / "broken/model.valid").exists()
    monkeypatch.setattr("p2bot_parlai.agents.p2bot.P2botAgent.train_step", None)  # none is made
    train(options, tmp_path / "broken")
    assert_the_same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    assert (tmp_path / "broken/model.valid").read_text().startswith("valid:\n")


def test_the_checkpoint_waits_for_the_end_of_an_update(convai2, tmp_path):
    """With --update-freq the gradients of the batches before are in no file."""
    options = transmitter(convai2, update_freq=2)
    train(options, tmp_path / "whole")
    interrupt(options, tmp_path / "broken", ("train_step", 3))
    assert steps(tmp_path / "broken") == 2
    train(options, tmp_path / "broken")
    assert_the_same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))


def test_while_it_loads_there_is_nothing_to_save(convai2, tmp_path, monkeypatch):
    def interrupted(agent):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("p2bot_parlai.agents.p2bot.P2botAgent.begin_training", interrupted)
    with pytest.raises(SystemExit) as end:
        train(transmitter(convai2), tmp_path / "model")
    assert end.value.code == 0
    assert not (tmp_path / "model/model.checkpoint").exists()
