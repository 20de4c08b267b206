"""Whatever decodes in bf16 casts each weight once a response at most, not at every token."""

from collections import Counter

import pytest
import torch
from asking import PERSONA, QUESTIONS, ask
from parlai.core.agents import create_agent_from_model_file
from playing import agent_for, opening
from torch.utils._python_dispatch import TorchDispatchMode

from p2bot_parlai import P2Bot

HEAD = "backbone.tokens_embed.weight"  # GPT's output matrix, which `TiedHead` looks after


class Casts(TorchDispatchMode):
    """Counts casts to bfloat16, by where the tensor lies."""

    def __init__(self):
        super().__init__()
        self.of = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._to_copy.default and kwargs["dtype"] == torch.bfloat16:
            self.of[args[0].untyped_storage().data_ptr()] += 1
        return func(*args, **(kwargs or {}))


def most(network, run, besides: str = "") -> dict[str, int]:
    """How often `run` casts each weight that it casts."""
    with Casts() as casts:
        run()
    places = {p.untyped_storage().data_ptr(): name for name, p in network.named_parameters()}
    found = {name: casts.of[place] for place, name in places.items() if place in casts.of}
    found.pop(besides, None)
    return found


@pytest.mark.parametrize("inference", ["beam", "greedy"])
def test_in_evaluation_and_chats_of_parlai(tiny_model, inference):
    given = {"precision": "bf16", "inference": inference, "loglevel": "error"}
    agent = create_agent_from_model_file(tiny_model, given)
    counts = most(agent.network, lambda: ask(agent, PERSONA + QUESTIONS[0]))
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("inference", ["beam", "greedy"])
def test_in_python_and_on_the_page(tiny_model, inference):
    bot = P2Bot.load(tiny_model, persona=["i eat soup."], precision="bf16", inference=inference)
    said = []
    network = bot._speaker.agent.network
    counts = most(network, lambda: said.extend(bot.stream(QUESTIONS[0])), HEAD)
    assert len(said) > 1 and not counts


@pytest.mark.parametrize("way", ["multinomial", "beam"])
def test_in_self_play(convai2, tmp_path, playing, way):
    given = {**playing, "precision": "bf16", "user_inference": way}
    agent = agent_for(convai2, tmp_path / "model", given)
    for network in (agent.network, agent.selfplay.world.user):
        counts = most(network, lambda: agent.play([opening(0)]), HEAD)
        assert max(counts.values(), default=0) <= 1
