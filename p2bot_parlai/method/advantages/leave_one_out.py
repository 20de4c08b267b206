"""The mean reward of the other responses as baseline (Kool et al., 2019)."""

from torch import Tensor


def leave_one_out_baseline(rewards: Tensor, total: Tensor, count: Tensor) -> Tensor:
    """
    For each response the mean reward of the others: (M,). It does not depend on the
    response itself, so that the gradient stays unbiased in small batches.
    """
    return (total - rewards) / (count - 1).clamp(min=1)
