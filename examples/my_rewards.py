"""
A reward of one's own: short responses, in self-play.

usage: PYTHONPATH=examples parlai train_model -m p2bot -t p2bot:selfplay ...
       --reward my_rewards:Brevity=0.3
"""

import torch
from torch import Tensor

from p2bot_parlai.method.reward_models import Reward
from p2bot_parlai.method.rollouts import Rollouts


class Brevity(Reward):
    """Minus a tenth of the number of words."""

    name = "brevity"

    def __call__(self, rollouts: Rollouts) -> Tensor:
        # rollouts.agent_texts: N turns of B dialogues; a reward is (B, N)
        words = [[len(text.split()) for text in said] for said in rollouts.agent_texts]
        return -torch.tensor(words, dtype=torch.float).T / 10
