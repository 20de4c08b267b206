"""
A baseline for every turn: the idea of role-conditioned advantage estimation, one baseline per
role and game (Liu et al., 2025, "SPIRAL", https://arxiv.org/abs/2506.24119).
"""

from torch import Tensor

from p2bot_parlai.method.advantages.leave_one_out import against_others


def advantages(rewards: Tensor, groups: Tensor) -> Tensor:
    """
    A_bn = R_bn - 1/(B-1) sum_{c != b} R_cn: turn n of the other dialogues of the update.

    What is paid for the position of a turn alone (an early one has more of Eq. 8's sum ahead)
    leaves the advantage. RAE keeps a running mean; here it is that of the update without the
    dialogue itself. The baseline does not depend on the response, so the gradient is unbiased:
    all dialogues have N turns. Were the policy free to end a dialogue, it would choose which
    rewards the baseline of a turn is made of.

    With one dialogue there are no others: the baseline is 0.

    :param rewards: (B, N). :param groups: not used. :return: (B, N)
    """
    return against_others(rewards)
