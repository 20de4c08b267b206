"""The mean reward of the other responses as baseline (Kool et al., 2019)."""

from torch import Tensor


def advantages(rewards: Tensor, groups: Tensor) -> Tensor:
    """
    A_i = R_i - 1/(n-1) sum_{j != i} R_j over all n = B * N responses.

    n/(n-1) times the advantage of the mean, so that the gradient is unbiased where the rewards
    are independent of each other. Those of the other turns of its dialogue depend on it, and are
    in its baseline: `p2bot_parlai.method.advantages.turn` leaves them out.

    :param rewards: (B, N). :param groups: not used. :return: (B, N)
    """
    return against_others(rewards.flatten()).view_as(rewards)


def against_others(values: Tensor) -> Tensor:
    """
    Each value less the mean of the others: along the first dimension, (n, ...). The mean of no
    others is 0.
    """
    return values - (values.sum(dim=0) - values) / max(len(values) - 1, 1)
