"""What an update of self-play learns from: its dialogues compared with each other (Eq. 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from parlai.utils.distributed import get_rank
from torch import Tensor

from p2bot_parlai.agents.learning import gather_from_processes
from p2bot_parlai.method.advantages import ESTIMATORS
from p2bot_parlai.method.advantages.grouped import share_without_spread
from p2bot_parlai.method.rollouts import ScoredRollouts


@dataclass
class Compared:
    """
    The dialogues of an update.

    :param advantages: of this process's, (B, N). :param responses: of all processes.
    :param variance: of the advantages of all processes.
    :param flat: share of openings whose dialogues all have the same rewards.
    """

    advantages: Tensor
    responses: int
    variance: float
    flat: float


def compare(played: Sequence[ScoredRollouts], estimator: str) -> Compared | None:
    """
    The advantages of an update's dialogues, over all processes.

    :param played: by this process; may be none. :param estimator: a name of `ESTIMATORS`.
    :return: None where no process has played.
    """
    openings = [o for scored in played for o in scored.rollouts.openings]
    begun = [(*o.user_persona, *o.agent_persona, o.utterance) for o in openings]
    everyone = gather_from_processes(([scored.total for scored in played], begun))
    rewards = [total for totals, _ in everyone for total in totals]
    if not rewards:
        return None
    begun = [start for _, starts in everyone for start in starts]
    number = {start: i for i, start in enumerate(dict.fromkeys(begun))}
    groups, together = torch.tensor([number[start] for start in begun]), torch.cat(rewards)
    found = ESTIMATORS[estimator](together, groups)
    before = sum(len(starts) for _, starts in everyone[: get_rank()])
    return Compared(
        found[before : before + len(openings)],
        found.numel(),
        found.var(correction=0).item(),
        share_without_spread(together, groups),
    )
