"""What an update of self-play learns from: its dialogues compared with each other (Eq. 5)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from parlai.utils.distributed import get_rank
from torch import Tensor

from p2bot_parlai.agents.learning import gather_from_processes
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.advantages import ESTIMATORS, OF_GROUPS
from p2bot_parlai.method.advantages.grouped import share_without_spread
from p2bot_parlai.method.rewards import combine, standardise
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


def compare(
    played: Sequence[ScoredRollouts],
    weights: Mapping[str, float],
    estimator: str,
    scaled: Collection[str] = (),
) -> Compared | None:
    """
    The advantages of an update's dialogues, over all processes.

    :param played: by this process; may be none. :param weights: of the rewards (Eq. 10).
    :param estimator: a name of `ESTIMATORS`. :param scaled: the names of the rewards that are
        first given mean 0 and deviation 1, see `rewards.standardise`.
    :return: None where no process has played.
    :raises P2botError: for a group of one dialogue.
    """
    openings = [o for scored in played for o in scored.rollouts.openings]
    begun = [(*o.user_persona, *o.agent_persona, o.utterance) for o in openings]
    everyone = gather_from_processes(([scored.raw for scored in played], begun))
    parts = [raw for raws, _ in everyone for raw in raws]
    if not parts:
        return None
    raw = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    raw |= {name: standardise(raw[name]) for name in scaled}
    together = combine(raw, weights)
    begun = [start for _, starts in everyone for start in starts]
    number = {start: i for i, start in enumerate(dict.fromkeys(begun))}
    groups = torch.tensor([number[start] for start in begun])
    if estimator in OF_GROUPS and groups.bincount().min() < 2:
        raise P2botError(
            f"--rl-baseline {estimator}: a dialogue is alone in its group; a run that is resumed "
            "must keep its --batchsize and --rollouts-per-opening"
        )
    found = ESTIMATORS[estimator](together, groups)
    before = sum(len(starts) for _, starts in everyone[: get_rank()])
    return Compared(
        found[before : before + len(openings)],
        found.numel(),
        found.var(correction=0).item(),
        share_without_spread(together, groups),
    )
