"""Group-relative advantages: divided by the group's standard deviation."""

from torch import Tensor

from p2bot_parlai.method.advantages.grouped import within

# added to the deviation: rounding in a group without spread stays next to 0
EPSILON = 1e-4


def advantages(rewards: Tensor, groups: Tensor) -> Tensor:
    """
    A_bn = (G_b - mean G) / (std G + 1e-4) over all dialogues of b's opening; G_b = sum_n R_bn.

    GRPO (Shao et al., 2024, https://arxiv.org/abs/2402.03300). Every opening counts the same,
    whatever the scale of its rewards, and that is its bias: openings whose rewards hardly
    differ are weighted up, so the gradient is not that of the expected reward (Liu et al.,
    2025, https://arxiv.org/abs/2503.20783). The mean includes the dialogue itself: as for the
    batch mean a factor 1 - 1/K.

    :param rewards: (B, N). :param groups: int (B,), of the opening; each has at least two
        dialogues. :return: (B, N)
    """
    returns = rewards.sum(dim=1, keepdim=True)
    return within(groups, returns, standardised).expand_as(rewards)


def standardised(values: Tensor) -> Tensor:
    """Less the mean, divided by the sample standard deviation (K - 1), of the first dimension."""
    return (values - values.mean(dim=0)) / (values.std(dim=0) + EPSILON)
