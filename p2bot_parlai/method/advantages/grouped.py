"""Rollouts of one opening compared with each other: leave one out in a group (RLOO)."""

from collections.abc import Callable

import torch
from torch import Tensor

from p2bot_parlai.method.advantages.leave_one_out import against_others


def of_dialogues(rewards: Tensor, groups: Tensor) -> Tensor:
    """
    A_bn = G_b - mean of G_c over the other dialogues c of b's opening; G_b = sum_n R_bn.

    RLOO (Ahmadian et al., 2024, https://arxiv.org/abs/2402.14740) with a dialogue as the
    sample. What personas and first utterance bring leaves the advantage. Every turn is paid for
    the whole dialogue, so that the loss, a mean over turns, has the gradient of the expected
    mean reward of a dialogue, without bias. A dialogue alone in its group has the baseline 0.

    :param rewards: (B, N). :param groups: int (B,), of the opening. :return: (B, N)
    """
    returns = rewards.sum(dim=1, keepdim=True)
    return within(groups, returns, against_others).expand_as(rewards)


def of_turns(rewards: Tensor, groups: Tensor) -> Tensor:
    """
    A_bn = R_bn - mean of R_cn over the other dialogues c of b's opening: `turn` in a group.

    From the second turn on the dialogues of a group have gone different ways; the baseline does
    not depend on the response all the same, so the gradient of Eq. 5 is unbiased.
    """
    return within(groups, rewards, against_others)


def within(groups: Tensor, values: Tensor, compare: Callable[[Tensor], Tensor]) -> Tensor:
    """``compare`` of the rows of each group, (K, ...) -> (K, ...), in their places."""
    found = torch.empty_like(values)
    for group in groups.unique():
        found[groups == group] = compare(values[groups == group])
    return found


def share_without_spread(rewards: Tensor, groups: Tensor) -> float:
    """The share of groups whose dialogues all have the same rewards: nothing is learnt there."""
    found = [rewards[groups == group] for group in groups.unique()]
    return sum(torch.allclose(own, own[:1]) for own in found) / len(found)
