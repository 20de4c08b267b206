"""``-m p2bot/random_perception``: chance, the first row of the paper's Table 5."""

import random

import torch
from torch import Tensor

from p2bot_parlai.agents.perception import PerceptionBaseline


class RandomPerceptionAgent(PerceptionBaseline):
    """
    Ranks personas and profile sentences at random.

    The draw depends on the question alone, so that runs repeat.
    """

    id = "RandomPerception"

    def scores(self, utterances: list[str], personas: list[list[str]]) -> Tensor:
        rng = random.Random("\n".join([*utterances, str(len(personas))]))
        return torch.tensor([rng.random() for _ in personas])
