"""The cache that grows in place against transformers' own, which copies."""

import copy

import pytest
import torch
from transformers import DynamicCache

from p2bot_parlai.method.kv_cache import SPARE_SLOTS, growing_cache


def part(count: int, seed: int):
    """Keys and values of two rows, three heads, ``count`` tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 2, 3, count, 4, generator=generator)


def fork(cache):
    made = copy.copy(cache)
    made.layers = [copy.copy(layer) for layer in cache.layers]
    return made


@torch.no_grad()
def test_appends_as_the_cache_that_copies():
    ours, theirs = growing_cache(), DynamicCache()
    for number in range(SPARE_SLOTS + 5):  # further than the first room is long
        for layer in range(2):
            new = part(1 + number % 3, 10 * number + layer)
            found, expected = ours.update(*new, layer), theirs.update(*new, layer)
            assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
    assert ours.get_seq_length() == theirs.get_seq_length()


@torch.no_grad()
def test_what_was_handed_out_stays_what_it_was():
    """Two continuations of one state, as two hypotheses or two turns make them."""
    cache = growing_cache()
    cache.update(*part(2, 0), 0)
    cache.update(*part(1, 1), 0)
    states, saved = fork(cache), cache.layers[0].keys.clone()
    one, other = fork(states), fork(states)
    first = one.update(*part(1, 2), 0)[0]
    kept = first.clone()
    second = other.update(*part(1, 3), 0)[0]
    assert torch.equal(first, kept) and torch.equal(states.layers[0].keys, saved)
    assert torch.equal(first[:, :, :3], second[:, :, :3])
    assert torch.equal(second[:, :, 3:], part(1, 3)[0])
    # an older state goes on after a younger one did
    assert torch.equal(fork(states).update(*part(1, 4), 0)[0][:, :, 3:], part(1, 4)[0])
    assert torch.equal(one.layers[0].keys, kept)


@torch.no_grad()
@pytest.mark.parametrize("change", ["reorder", "crop"])
def test_rows_that_were_moved_go_on_alone(change):
    cache = growing_cache()
    cache.update(*part(2, 0), 0)
    cache.update(*part(1, 1), 0)
    younger = fork(cache)
    if change == "reorder":
        younger.reorder_cache(torch.tensor([1, 0]))
    else:
        younger.crop(-1)
    expected = torch.cat([younger.layers[0].keys, part(1, 2)[0]], dim=2)
    saved = cache.layers[0].keys.clone()
    assert torch.equal(younger.update(*part(1, 2), 0)[0], expected)
    assert torch.equal(cache.layers[0].keys, saved)


@torch.no_grad()
def test_chosen_rows_are_copied_once():
    """And what is appended then is not another copy of all."""
    cache = growing_cache()
    cache.update(*part(3, 0), 0)
    cache.reorder_cache(torch.tensor([1]))
    layer, (keys, values) = cache.layers[0], part(3, 0)[:, 1:]
    assert torch.equal(layer.keys, keys) and torch.equal(layer.values, values)
    place, new = layer.keys.data_ptr(), part(1, 1)[:, 1:]
    assert torch.equal(cache.update(*new, 0)[0], torch.cat([keys, new[0]], dim=2))
    assert torch.equal(layer.values, torch.cat([values, new[1]], dim=2))
    assert layer.keys.data_ptr() == place


def test_gradients_flow_through_what_is_appended():
    cache = growing_cache()
    with torch.no_grad():
        cache.update(*part(2, 0), 0)
        cache.update(*part(1, 1), 0)
    keys, values = part(1, 2).requires_grad_()
    cache.update(keys, values, 0)[0].sum().backward()
    assert cache.layers[0].keys.requires_grad
