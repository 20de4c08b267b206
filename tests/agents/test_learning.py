"""What would break the weights or the memory is skipped, counted and said."""

import contextlib
import resource
from pathlib import Path

import pytest
import tiny
import torch
from asking import PERSONA, QUESTIONS
from parlai.core.message import Message

from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.agents.skipping import PATIENCE
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.memory import trim_memory

ROWS = 3000


def _examples(agent, count, field="labels"):
    """Rows of a batch, and the clones that wait for replies."""
    rows = []
    for i in range(count):
        message = {"text": PERSONA + QUESTIONS[i % 8], field: [f"i live in Bern , {i} ."]}
        rows.append(agent.clone().observe(Message({**message, "episode_done": True})))
    return rows


@pytest.fixture
def learner(convai2, tiny_model, tmp_path):
    return _learner(convai2, tiny_model, tmp_path)


def _learner(convai2, tiny_model, tmp_path, **changes):
    changes |= {"init_model": tiny_model}
    return tiny.agent(convai2, tmp_path / "model", **changes)


def _weights(agent):
    return [p.detach().clone() for p in agent.model.parameters()]


def _same(first, second):
    return all(map(torch.equal, first, second))


def _breaking(agent, monkeypatch, value):
    """The first term of every loss becomes ``value`` while this lasts."""
    stock = agent.losses

    def losses(batches):
        first, *others = stock(batches)
        return [lambda: first() * value, *others]

    monkeypatch.setattr(agent, "losses", losses)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_changes_nothing_and_is_counted(learner, monkeypatch, value):
    learner.batch_act(_examples(learner, 3))
    before, updates = _weights(learner), learner._number_training_updates
    moments = [s["exp_avg"].clone() for s in learner.optimizer.state.values()]
    with monkeypatch.context() as patch:
        _breaking(learner, patch, value)
        learner.batch_act(_examples(learner, 3))
    assert _same(_weights(learner), before)
    assert _same([s["exp_avg"] for s in learner.optimizer.state.values()], moments)
    assert learner._number_training_updates == updates
    assert learner.report()["skipped_updates"].value() == 1

    learner.batch_act(_examples(learner, 3))
    assert not _same(_weights(learner), before)
    assert all(p.isfinite().all() for p in learner.model.parameters())


def test_a_run_is_given_up_after_many_broken_gradients_in_a_row(learner, monkeypatch):
    rows = _examples(learner, 2)  # once: a new clone would reset the metrics
    with monkeypatch.context() as patch:
        _breaking(learner, patch, float("nan"))
        for _ in range(PATIENCE - 1):
            learner.batch_act(rows)
    learner.batch_act(rows)  # the count begins again
    _breaking(learner, monkeypatch, float("nan"))
    for _ in range(PATIENCE - 1):
        learner.batch_act(rows)
    assert learner.report()["skipped_updates"].value() == 2 * (PATIENCE - 1)
    with pytest.raises(P2botError, match="10 batches in a row .*lower --learningrate"):
        learner.batch_act(rows)


@pytest.mark.parametrize("changes", [{"update_freq": 2}, {"tokens_per_batch": 40}], ids=str)
def test_accumulated_gradients_are_checked_together(
    convai2, tiny_model, tmp_path, monkeypatch, changes
):
    agent = _learner(convai2, tiny_model, tmp_path, **changes)
    freq = changes.get("update_freq", 1)
    before = _weights(agent)
    with monkeypatch.context() as patch:
        _breaking(agent, patch, float("nan"))
        for _ in range(freq):
            agent.batch_act(_examples(agent, 2))
    assert _same(_weights(agent), before)
    for _ in range(freq):
        assert _same(_weights(agent), before)  # also by half of the next update
        agent.batch_act(_examples(agent, 2))
    assert not _same(_weights(agent), before)


# --------------------------------------------------------------------------- memory
@contextlib.contextmanager
def _little_memory(megabytes):
    """This process may have so much more than it has, but for what it holds free."""
    trim_memory()
    status = Path("/proc/self/status").read_text()
    (size,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmSize")]
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(size) * 1024 + megabytes * 2**20, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_a_batch_that_memory_does_not_hold_is_skipped_in_training_and_named_in_evaluation(learner):
    before, large = _weights(learner), _examples(learner, ROWS)
    with _little_memory(64):
        replies = learner.batch_act(large)
    assert len(replies) == ROWS
    assert _same(_weights(learner), before)
    assert learner.report()["skipped_batches"].value() == 1
    learner.batch_act(_examples(learner, 3))
    assert not _same(_weights(learner), before)

    large = _examples(learner, ROWS, "eval_labels")
    longest = max(len(row["text_vec"]) for row in large)
    said = f"out of memory with {ROWS} rows of up to {longest} tokens: lower --batchsize or --text"
    with _little_memory(64), pytest.raises(P2botError, match=said):
        learner.batch_act(large)


def test_self_play_that_memory_does_not_hold_names_its_turns(
    convai2, playing, tmp_path, monkeypatch
):
    def play(self, openings):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(P2botAgent, "play", play)
    with pytest.raises(
        P2botError, match="3 rows .*--tokens-per-batch, or lower --batchsize .*--selfplay-turns"
    ):
        tiny.train(convai2, tmp_path / "model", **{**playing, "max_train_steps": PATIENCE + 1})
