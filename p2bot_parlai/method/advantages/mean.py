"""The mean reward of the mini-batch as baseline (section 3.2 of the paper)."""

from torch import Tensor


def advantages(rewards: Tensor, groups: Tensor) -> Tensor:
    """
    A = R - mean(R) over all n = B * N responses.

    The mean includes the response itself, so its reward is compared with a part of itself: where
    the rewards are independent of each other, the gradient is (1 - 1/n) of the true one. A single
    response learns nothing. The other turns of its dialogue are in the mean too, and their
    rewards depend on it (`p2bot_parlai.method.advantages.turn` leaves them out).

    :param rewards: (B, N). :param groups: not used. :return: (B, N)
    """
    return rewards - rewards.mean()
