"""Contexts read across turns against contexts read anew, and how many tokens that takes."""

import random

import naive
import pytest
import torch

from p2bot_parlai.method.kv_cache import ContextMemory, read_each
from p2bot_parlai.method.transmitter import Transmitter


@pytest.fixture
def read(model, monkeypatch):
    """How many tokens the network has read, padding apart: a list, one entry a pass."""
    counts, extend = [], model.extend
    monkeypatch.setattr(
        model,
        "extend",
        lambda states, ids, valid: counts.append(int(valid.sum())) or extend(states, ids, valid),
    )
    return counts


@torch.no_grad()
def check(model, states, contexts):
    """Two tokens behind the states are those behind the plain context."""
    tail = torch.tensor([[7, 8]])
    ones = torch.ones(len(contexts), 2, dtype=torch.bool)
    found, _ = Transmitter.extend(model, states, tail.expand(len(contexts), -1), ones)
    for row, context in enumerate(contexts.values()):
        plain = naive.read(model.backbone, [*context, 7, 8])
        torch.testing.assert_close(found[row], plain[-2:], atol=1e-5, rtol=0)


def test_a_turn_reads_only_what_is_new(model, read):
    memory = ContextMemory()
    first = {0: [4, 5, 6], 1: [4, 9]}
    check(model, memory.read(model, first), first)
    second = {0: [4, 5, 6, 10], 1: [4, 9, 11, 12, 13]}
    check(model, memory.read(model, second), second)
    third = {0: [4, 5, 6, 10, 14, 15], 1: [4, 9, 11, 12, 13, 16]}
    states = memory.read(model, third)
    check(model, states, third)
    assert read == [5, 1 + 3, 2 + 1]
    assert states.valid.shape[1] == 5 + 2  # no holes but those of the last turn
    assert memory.read(model, third).valid.sum() == 12 and len(read) == 3


@pytest.mark.parametrize(
    "then, new",
    [
        ({0: [4, 5, 3, 7]}, 2),  # changed in the middle
        ({0: [4, 5]}, 0),  # shorter
        ({0: [9, 9]}, 2),  # another conversation
        ({0: []}, 0),  # nothing
        ({1: [4, 5, 6, 7]}, 4),  # unknown number
        ({1: [9, 8], 0: [4, 5, 6, 7, 8]}, 2 + 1),  # another row before it
    ],
    ids=str,
)
def test_what_is_not_a_continuation_is_read(model, read, then, new):
    memory = ContextMemory()
    memory.read(model, {0: [4, 5, 6, 7]})
    read.clear()
    check(model, memory.read(model, then), then)
    assert sum(read) == new


def test_many_conversations_that_begin_and_end_at_their_own_times(model):
    draw = random.Random(0)
    memory, contexts = ContextMemory(), {}
    for _ in range(40):
        for row in range(5):
            begins = row not in contexts or len(contexts[row]) > 40 or draw.random() < 0.2
            before = [] if begins else contexts[row]
            if draw.random() < 0.1:
                before = before[: draw.randrange(len(before) + 1)]  # old turns were dropped
            contexts[row] = before + [draw.randrange(30) for _ in range(draw.randrange(9))]
        present = {row: ids for row, ids in contexts.items() if draw.random() < 0.8}
        if present:
            check(model, memory.read(model, present), present)


@pytest.mark.parametrize("way", ["in place", "loaded", "other data", "counted"])
def test_other_weights_read_anew(model, read, way):
    memory = ContextMemory()
    memory.read(model, {0: [4, 5, 6]})
    weight = model.backbone.h[0].mlp.c_fc.weight
    with torch.no_grad():
        if way == "in place":
            weight.mul_(1.1)
        elif way == "loaded":
            model.load_state_dict({k: 1.1 * v for k, v in model.state_dict().items()})
        elif way == "other data":
            weight.data = 1.1 * weight.data
        else:
            weight.data.mul_(1.1)  # torch does not see this; an agent counts its updates
            model.updates += 1
    context = {0: [4, 5, 6, 7]}
    check(model, memory.read(model, context), context)
    assert read == [3, 4]


def test_conversations_with_memories_of_their_own_are_read_together(model, read):
    memories = [ContextMemory() for _ in range(3)]
    first, second = [4, 5, 6], [4, 5, 6, 10]
    check(model, memories[0].read(model, {0: first}), {0: first})
    contexts = {0: second, 1: [4, 9, 11], 2: [8]}
    pairs = list(zip(memories, contexts.values(), strict=True))
    check(model, read_each(model, pairs), contexts)
    assert read == [3, 1 + 3 + 1]
    model.updates += 1  # what was read counts no more
    check(model, read_each(model, pairs[:2]), {0: second, 1: [4, 9, 11]})
    again = memories[2].read(model, {0: [8, 7]})
    check(model, again, {0: [8, 7]})
    assert read == [3, 5, 4 + 3, 2]
