"""A P²Bot agent in self-play, one batch at a time."""

import tiny
import torch
from parlai.core.agents import create_agent
from parlai.core.message import Message
from parlai.scripts.train_model import setup_args

from p2bot_parlai.method.rollouts import Opening


def agent_for(convai2, path, options):
    agent = create_agent(setup_args().parse_kwargs(**tiny.options(convai2, path, **options)))
    agent.begin_training()
    return agent


def opening(number: int) -> Opening:
    return Opening([f"i am a judge {number}."], ["i own a cat."], "hello there", number)


def observed(agent, number: int) -> Message:
    text = "your persona: i own a cat.\nhello there"
    fields = {"text": text, "opening": vars(opening(number)), "learn": True, "episode_done": True}
    return agent.clone().observe(Message(fields))


def step(agent, numbers, others=()):
    seen = [observed(agent, number) for number in numbers]
    seen += [agent.clone().observe(Message({**o, "episode_done": True})) for o in others]
    return agent.batch_act(seen)


@torch.no_grad()
def drift(agent) -> None:
    """Move it away from its user."""
    generator = torch.Generator().manual_seed(0)
    for weight in agent.network.parameters():
        weight += 0.2 * torch.randn(weight.shape, generator=generator)
