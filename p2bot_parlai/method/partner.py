"""
Who the agent of self-play talks with besides the frozen user of the paper: itself, as it was.
"""

import random

from torch import Tensor

from p2bot_parlai.method import backbones
from p2bot_parlai.method.transmitter import Transmitter


class PastSelves:
    """
    A user that is one of the agent's past selves, each a copy of what the agent had learnt.

    The first is the agent as it was at the beginning: the supervised Transmitter, which is the
    paper's user. With adapters the selves share the backbone.

    :param agent: learns. :param most: how many selves are kept; each further one replaces the
        oldest.
    """

    def __init__(self, agent: Transmitter, most: int):
        self.most, self.selves = most, list[dict[str, Tensor]]()
        self._now: dict[str, Tensor] | None = None
        backbone = backbones.from_json(agent.backbone.to_json(), like=agent.backbone)
        self.network = Transmitter(backbone).to(agent.device).freeze()
        self.remember(agent)
        self.be(random.Random())  # there is one

    def remember(self, agent: Transmitter) -> None:
        """Keep the agent as it is now."""
        weights = {name: weight.detach().clone() for name, weight in agent.state_dict().items()}
        self.selves = [*self.selves, weights][-self.most :]

    def be(self, rng: random.Random) -> None:
        """Take the weights of one of the selves, each as likely as another."""
        chosen = rng.choice(self.selves)
        if chosen is self._now:
            return
        # a copy: loading adds the weights of a shared base
        self.network.load_state_dict(dict(chosen))
        self.network.updates += 1  # cached states of the old weights are void
        self._now = chosen
