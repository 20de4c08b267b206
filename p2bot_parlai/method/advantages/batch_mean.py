"""The mean reward of the mini-batch as baseline (section 3.2 of the paper)."""

from torch import Tensor


def mean_baseline(total: Tensor, count: Tensor) -> Tensor:
    """
    The paper's baseline: the mean reward of the mini-batch.

    :param total: sum of all rewards of the mini-batch, over all processes.
    :param count: how many they are.
    """
    return total / count
