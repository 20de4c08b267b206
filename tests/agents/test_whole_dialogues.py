"""Training on whole dialogues against training turn by turn: same loss, gradient, metrics."""

import random

import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message
from parlai.core.params import ParlaiParser
from parlai.core.teachers import create_task_agent_from_taskname
from parlai.core.torch_agent import Batch
from parlai.scripts.train_model import setup_args

from p2bot_parlai.agents.batches import P2botBatch, SelfPlayBatch
from p2bot_parlai.parlai_support.mutators import WHOLE_DIALOGUE
from p2bot_parlai.parlai_support.training_loop import P2botTrainLoop

METRICS = ("loss", "ppl", "ppl_word", "token_acc", "token_em", "nup_loss", "nup_acc")


def episodes(datapath, **changes):
    """All episodes of the training file, as the teacher gives them."""
    given = {"task": "convai2:self_original", "datapath": datapath, "datatype": "train:ordered"}
    opt = ParlaiParser(True, False).parse_kwargs(**{**given, **tiny.QUIET, **changes})
    teacher = create_task_agent_from_taskname(opt)[0]
    found, episode = [], []
    while not teacher.epoch_done() or episode:
        message = teacher.act()
        episode.append(message)
        if message["episode_done"]:
            found.append(episode)
            episode = []
    return found


def learn(agent, batch) -> tuple[float, list[torch.Tensor], dict]:
    """Loss, gradients and metrics of one batch, without an update."""
    agent._local_metrics.clear()
    agent.model.eval()  # dropout would draw other numbers
    agent.model.zero_grad()
    loss = agent.compute_loss(batch)
    loss.backward()
    totals = {}
    for name, values in agent._local_metrics.items():
        values = [value for value in values if value is not None]
        totals[name] = sum(values[1:], start=values[0]).value()
    return loss.item(), [p.grad.clone() for p in agent.network.parameters()], totals


def whole(agent, found) -> Batch:
    messages = []
    for episode in found:
        fields = ("text", "labels", "label_candidates")
        turns = [{k: turn[k] for k in fields if k in turn} for turn in episode]
        fields = {"text": turns[0]["text"], "labels": turns[0]["labels"], "episode_done": True}
        messages.append(agent.clone().observe(Message({**fields, "dialogue": turns})))
    return agent.batchify(messages)


def turn_by_turn(agent, found, distractors) -> Batch:
    """As evaluation reads them, with gradients."""
    messages = []
    for episode in found:
        clone = agent.clone()
        for turn in episode:
            told = {"eval_labels" if k == "labels" else k: v for k, v in turn.items()}
            messages.append(clone.observe(Message(told)))
            clone.self_observe(Message({"text": "", "episode_done": False}))
    batch = agent.batchify(messages)
    batch.p2bot.distractors = distractors  # evaluation draws none
    valid = batch.text_vec != agent.NULL_IDX
    batch.p2bot.states = agent.network.encode_context(batch.text_vec, valid)
    return batch


@pytest.fixture(autouse=True)
def first_distractors(monkeypatch):
    monkeypatch.setattr("random.sample", lambda population, k: list(population)[:k])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_distractors": 3},
        {"nup_coef": 0.0},
        {"task": "convai2:self_original:no_cands"},  # distractors are what others say
        {"task": "convai2:both"},
        {"task": "convai2:none"},
        {"text_truncate": 90},  # oldest turns are dropped
        {"label_truncate": 6},  # responses are cut
        {"history_size": 1},
    ],
    ids=str,
)
def test_packed_training_equals_turn_by_turn_evaluation(convai2, tiny_model, tmp_path, changes):
    compare(convai2, tiny_model, tmp_path, changes)


@pytest.mark.parametrize("changes", [{}, {"text_truncate": 40}, {"label_truncate": 6}], ids=str)
def test_the_original_form_does_too(convai2, original_style_model, tmp_path, changes):
    compare(convai2, original_style_model, tmp_path, changes)


def compare(convai2, model, tmp_path, changes):
    agent = tiny.agent(convai2, tmp_path / "model", init_model=model, **changes)
    found = episodes(convai2, **{k: v for k, v in changes.items() if k == "task"})[:3]
    packed = whole(agent, found)
    (own,) = packed.p2bot.pieces
    loss, gradients, metrics = learn(agent, packed)
    one_by_one = turn_by_turn(agent, found, own.distractors)
    expected, expected_gradients, expected_metrics = learn(agent, one_by_one)
    assert loss == pytest.approx(expected, abs=1e-5)
    for a, b in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    compared = METRICS if changes.get("nup_coef") != 0.0 else METRICS[:5]
    if "label_truncate" in changes:  # response and distractor begin alike: nobody wins
        compared = METRICS[:6]
    for name in compared:
        assert metrics[name] == pytest.approx(expected_metrics[name], abs=1e-4), name


def test_what_a_batch_holds_goes_to_its_device(convai2, tiny_model, tmp_path):
    agent = tiny.agent(convai2, tmp_path / "model", init_model=tiny_model)
    batch = whole(agent, episodes(convai2)[:1])
    beside_self_play = P2botBatch(p2bot=SelfPlayBatch(batch.p2bot.pieces, []))
    for moved in (batch.to("meta"), beside_self_play.to("meta")):
        assert moved.p2bot.pieces[0].packed.inputs.is_meta
    assert batch.to("meta").text_vec.is_meta


@pytest.mark.parametrize("count", [1, 3])
def test_without_candidates_distractors_are_what_other_speakers_say(
    convai2, tiny_model, tmp_path, monkeypatch, count
):
    """Whatever else is in the batch; the same for the same seed."""
    monkeypatch.undo()  # of `first_distractors`
    task = {"task": "convai2:self_original:no_cands"}
    given = {**task, "num_distractors": count}
    agent = tiny.agent(convai2, tmp_path / "model", init_model=tiny_model, **given)
    found = episodes(convai2, **task)

    def drawn(rows) -> list[list[str]]:
        random.seed(7)
        (own,) = whole(agent, rows).p2bot.pieces
        return [[agent.dict.vec2txt(ids) for ids in wrong] for wrong in own.distractors]

    alone = drawn(found[:1])
    assert drawn(found[:3])[: len(alone)] == alone
    own = {label for turn in found[0] for label in turn["labels"]}
    everybody = {label for episode in found for turn in episode for label in turn["labels"]}
    assert all(len(set(wrong)) == count for wrong in alone)
    assert {text for wrong in alone for text in wrong} <= everybody - own
    assert len({tuple(wrong) for wrong in alone}) > 1


# ------------------------------------------------------------------------ the mutator
def test_an_episode_becomes_one_message_in_training_alone(convai2):
    plain = episodes(convai2)
    mutated = episodes(convai2, mutators=WHOLE_DIALOGUE)
    assert len(mutated) == len(plain)
    for episode, turns in zip(mutated, plain, strict=True):
        (message,) = episode
        assert [t["text"] for t in message["dialogue"]] == [t["text"] for t in turns]
        assert [t["labels"] for t in message["dialogue"]] == [t["labels"] for t in turns]
        assert "label_candidates" in message["dialogue"][0]
    evaluated = episodes(convai2, mutators=WHOLE_DIALOGUE, datatype="valid")
    assert [len(e) for e in evaluated] == [len(e) for e in episodes(convai2, datatype="valid")]


def test_an_epoch_is_every_turn_once(convai2, tmp_path):
    """8 dialogues of 4 turns, two at a time, of each of two tasks."""
    task = "convai2:self_original,convai2:none"
    given = {"task": task, "batchsize": 2, "num_epochs": 1, "max_train_steps": None}
    given |= {"datatype": "train:ordered", "skip_generation": True}
    loop = P2botTrainLoop(
        setup_args().parse_kwargs(**tiny.options(convai2, tmp_path / "m", **given))
    )
    seen = []
    train_step = loop.agent.train_step
    loop.agent.train_step = lambda batch: seen.append(batch.batchsize) or train_step(batch)
    loop.train()
    assert sum(seen) == 2 * 32


def test_the_tokenizer_is_learnt_from_every_turn(convai2, tmp_path):
    """With room enough every word of every response becomes a token."""
    tiny.train(convai2, tmp_path / "model", max_train_steps=1, vocab_size=2000)
    tokenizer = create_agent_from_model_file(str(tmp_path / "model"), tiny.QUIET).dict
    said = [label for episode in episodes(convai2) for turn in episode for label in turn["labels"]]
    assert all(len(tokenizer.txt2vec(word)) == 1 for text in said for word in text.split())
