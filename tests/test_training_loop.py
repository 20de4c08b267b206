"""Long runs: resuming, schedules that follow progress, the best model at the end."""

import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.scripts.train_model import TrainLoop, TrainModel, set_seed, setup_args

from p2bot_parlai.parlai_support.progress import ProgressLine
from p2bot_parlai.parlai_support.varying import DROP

GIVEN = {
    "max_train_steps": 24,
    "validation_every_n_steps": 8,
    "save_after_valid": True,
    "skip_generation": True,
    "seed": 3,
}
NO_CANDS = "convai2:self_original:no_cands"


class Killed(Exception):
    """Stands for the end of the process."""


def run(datapath, folder, kill_at=None, kill_in=".checkpoint", **changes):
    """
    Train as train_model does; die in the save of a checkpoint after ``kill_at`` updates, or,
    with ``kill_in=None``, in that of a model.

    :return: the weights, and the examples seen as (persona and text of each turn).
    """
    given = tiny.options(datapath, folder / "model", **{**GIVEN, **changes})
    opt = setup_args().parse_kwargs(**given)
    loop = TrainLoop(opt)
    set_seed(3)
    seen, final = [], {}
    train_step, save = loop.agent.train_step, loop.save_model

    def watched_step(batch):
        seen.append(tuple(batch.labels or ()))
        result = train_step(batch)
        final.update({k: v.detach().clone() for k, v in loop.agent.model.state_dict().items()})
        return result

    def watched_save(suffix=None):
        save(suffix)
        if suffix == kill_in and kill_at and loop._train_steps >= kill_at:
            raise Killed

    loop.agent.train_step, loop.save_model = watched_step, watched_save
    try:
        for _ in loop.train_steps():
            pass
    except Killed:
        pass
    return final, seen


@pytest.mark.parametrize(
    "changes",
    [
        {"batchsize": 4},
        {"batchsize": 1},
        {"batchsize": 3, "task": "convai2:self_original,convai2:none"},
        {"batchsize": 4, "datatype": "train:ordered"},
        {
            "batchsize": 2,
            "task": "convai2:self_original:no_cands",
            "mutators": DROP,
            "drop_persona": 0.5,
        },
    ],
)
@pytest.mark.parametrize("kill_at", [3, 8])  # inside an episode, and between two
def test_a_resumed_run_ends_as_the_unbroken_one(convai2, tmp_path, changes, kill_at):
    changes = {**changes, "validation_every_n_steps": kill_at}
    (tmp_path / "broken").mkdir()
    (tmp_path / "whole").mkdir()
    weights, seen = run(convai2, tmp_path / "whole", **changes)
    _, before = run(convai2, tmp_path / "broken", kill_at=kill_at, **changes)
    assert 0 < len(before) < len(seen)
    again, after = run(convai2, tmp_path / "broken", **changes)
    assert before + after == seen  # the same examples in the same order
    for name, weight in weights.items():
        torch.testing.assert_close(again[name], weight, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["p2bot:selfplay", "p2bot:selfplay,convai2:self_original"])
def test_a_resumed_self_play_run_too(convai2, tiny_model, tiny_receiver, tmp_path, task):
    """Same user, same dialogues, same samples."""
    changes = {"task": task, "init_model": tiny_model, "receiver": tiny_receiver}
    changes |= {"evaltask": "convai2:self_original", "batchsize": 2, "label_truncate": 8}
    changes |= {"max_train_steps": 8, "validation_every_n_steps": 3, "learningrate": 1e-2}
    (tmp_path / "broken").mkdir()
    (tmp_path / "whole").mkdir()
    weights, seen = run(convai2, tmp_path / "whole", **changes)
    run(convai2, tmp_path / "broken", kill_at=3, **changes)
    again, after = run(convai2, tmp_path / "broken", **changes)
    assert 0 < len(after) < len(seen)
    # biases of keys have no gradient but rounding, which Adam makes larger
    for name, weight in weights.items():
        torch.testing.assert_close(again[name], weight, atol=1e-5, rtol=0)


def test_another_batch_size_on_resume_is_said_and_goes_on(convai2, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("p2bot_parlai.parlai_support.resume.logging.warning", said.append)
    run(convai2, tmp_path, kill_at=8, batchsize=4)
    _, seen = run(convai2, tmp_path, batchsize=2)
    assert any("place in the data is not resumed" in line for line in said)
    assert len(seen) == 16


@pytest.mark.slow
@pytest.mark.parametrize("best", ["before", "after"])
def test_the_best_model_is_left_and_reported_after_a_resume(convai2, tmp_path, best):
    """
    ParlAI would overwrite it with the last weights, or report the checkpoint. ppl falls all the
    way: where the highest counts as the best, no validation after the first beats it.
    """
    changes = {"validation_every_n_steps": 4, "validation_metric": "ppl_word"}
    changes |= {"validation_metric_mode": {"before": "max", "after": "min"}[best]}
    changes |= {"validation_cutoff": {"before": 1e9, "after": 0.0}[best]}
    run(convai2, tmp_path, kill_at=8, **changes)
    left = weights_in(tmp_path / "model")

    opt = tiny.options(convai2, tmp_path / "model", **{**GIVEN, **changes})
    report, _ = TrainModel.main(**opt)
    after, checkpoint = weights_in(tmp_path / "model"), weights_in(tmp_path / "model.checkpoint")
    assert same(left, after) == (best == "before")
    assert not same(after, checkpoint)
    agent = create_agent_from_model_file(str(tmp_path / "model"))
    assert same(after, agent.model.state_dict())
    again = tiny.evaluate(convai2, tmp_path / "model", num_examples=8, skip_generation=True)
    assert float(report["ppl"]) == pytest.approx(again["ppl"], rel=1e-6)


def test_without_checkpoints_the_best_model_stays_too(convai2, tmp_path):
    """The run goes on from the best model, and nothing after it is better."""
    changes = {"validation_every_n_steps": 4, "save_after_valid": False}
    changes |= {"validation_metric": "ppl_word", "validation_metric_mode": "max"}
    changes |= {"validation_cutoff": 1e9}
    run(convai2, tmp_path, kill_at=4, kill_in=None, **changes)
    left = weights_in(tmp_path / "model")
    run(convai2, tmp_path, **changes)
    assert same(left, weights_in(tmp_path / "model"))


def weights_in(path) -> dict:
    return torch.load(path, weights_only=True)["model"]


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_validation_inside_an_episode_keeps_the_dialogue(convai2, tmp_path):
    """With -bs 1 ParlAI validates on the very agent that is in the middle of a dialogue."""

    def contexts(**changes):
        found = []
        opt = tiny.options(convai2, tmp_path / str(len(changes)), batchsize=1, **changes)
        loop = TrainLoop(setup_args().parse_kwargs(**{**opt, "max_train_steps": 9}))
        set_seed(1)
        step = loop.agent.train_step
        loop.agent.train_step = lambda b: (found.append(b.text_vec[0].tolist()), step(b))[1]
        for _ in loop.train_steps():
            pass
        return found

    assert contexts() == contexts(validation_every_n_steps=1, skip_generation=True)


@pytest.mark.parametrize(
    "limit",
    [{"max_train_steps": 10}, {"num_epochs": 5, "max_train_steps": None}],
)
@pytest.mark.parametrize("warmup", [-1, 4])
def test_the_learning_rate_goes_linearly_to_zero(convai2, tmp_path, limit, warmup):
    given = tiny.options(convai2, tmp_path / "model", warmup_updates=warmup, **limit)
    loop = TrainLoop(setup_args().parse_kwargs(**given))
    rates, step = [], loop.agent.train_step

    def watched(batch):
        rates.append(loop.agent.optimizer.param_groups[0]["lr"])
        return step(batch)

    loop.agent.train_step = watched
    for _ in loop.train_steps():
        pass
    assert len(rates) == 10  # 1.25 epochs of 32 examples, 4 at a time
    linear = [1e-3 * (1 - k / 10) for k in range(10)]
    if warmup > 0:
        assert rates[:4] == sorted(rates[:4]) and rates[0] < 1e-6
    assert rates[max(0, warmup) + 1 :] == pytest.approx(linear[max(0, warmup) + 1 :])


def test_the_progress_line_tells_speed_and_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("p2bot_parlai.parlai_support.progress.time.monotonic", lambda: now[0])
    line = ProgressLine()
    line.start(share=0.0, examples=0)
    now[0] += 10
    with line.paused():
        now[0] += 1000  # a validation does not count
    now[0] += 10
    line.update(share=0.25, examples=500)
    assert line.text() == "training 25% done, 500 examples, 25.0 examples/s, 01:00 left"


def test_training_says_how_far_it_is(convai2, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("p2bot_parlai.parlai_support.training_loop.logging.info", said.append)
    tiny.train(convai2, tmp_path / "model", log_every_n_steps=2)
    assert any(line.startswith("training 50% done, 8 dialogues,") for line in said)


def test_the_seed_holds_for_the_first_weights_too(convai2, tmp_path):
    """ParlAI seeds after the model is built."""

    def first_weights(name, seed):
        opt = tiny.options(convai2, tmp_path / name, seed=seed)
        loop = TrainLoop(setup_args().parse_kwargs(**opt))
        return loop.agent.model.next_utterance.weight

    assert torch.equal(first_weights("a", 5), first_weights("b", 5))
    assert not torch.equal(first_weights("c", 5), first_weights("d", 6))
