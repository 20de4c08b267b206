"""A partner that is one of the agent's past selves."""

import copy
import random

import naive
import pytest
import torch

from p2bot_parlai.method.partner import PastSelves

IDS = [5, 9, 11, 20]


@pytest.fixture
def agent(bot):
    return copy.deepcopy(bot.network).eval()


@torch.no_grad()
def move(network) -> torch.Tensor:
    """Change what it has learnt. :return: what it computes then."""
    for weight in network.parameters():
        weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    return computed(network)


@torch.no_grad()
def computed(network) -> torch.Tensor:
    return network.output(naive.read(network.backbone, IDS))


def test_it_begins_as_the_agent_and_stays_so(agent):
    before = computed(agent)
    partner = PastSelves(agent, most=1)
    moved = move(agent)
    assert (moved - before).abs().max() > 0.01
    assert torch.equal(computed(partner.network), before)
    assert not any(weight.requires_grad for weight in partner.network.parameters())


def test_the_latest_is_the_newest_self(agent):
    partner = PastSelves(agent, most=1)
    version, moved = partner.network.weights_version(), move(agent)
    partner.remember(agent)
    partner.be(random.Random(0))
    assert torch.equal(computed(partner.network), moved)
    assert partner.network.weights_version() != version  # its cached states are void
    version = partner.network.weights_version()
    partner.be(random.Random(1))  # the same self again
    assert partner.network.weights_version() == version


def test_a_pool_has_the_newest(agent):
    partner = PastSelves(agent, most=2)
    there = []
    for _ in range(2):
        there.append(move(agent))
        partner.remember(agent)
    rng, met = random.Random(0), set()
    for _ in range(10):
        partner.be(rng)
        found = computed(partner.network)
        met |= {i for i, one in enumerate(there) if torch.equal(found, one)}
    assert met == {0, 1} and len(partner.selves) == 2
