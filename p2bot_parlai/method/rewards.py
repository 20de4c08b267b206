"""
The rewards of self-play (paper, section 3.3): Eq. 6-10, and three of our own.

Pure functions. Shapes: B dialogues of N turns, R tokens per response. The models behind them
are in `p2bot_parlai.method.reward_models`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from p2bot_parlai.method.transmitter import length_normalised, log_next_utterance
from p2bot_parlai.method.words import ngrams

FREE_TOKENS = 16  # [EOS] included; people's responses have 14 of SmolLM2's tokens on average
PER_TOKEN = 0.1  # the price of each token beyond


def language_style(token_scores: Tensor, mask: Tensor, vocabulary: int) -> Tensor:
    """
    Eq. 6: R_1 = 1/|a| sum_t log p_lm(a_t | a_<t), of the response alone.

    :param token_scores: log-probabilities (..., R) under the frozen language model.
    :param mask: bool (..., R), the words; tokens unknown to the language model ([EOS] for a
        pretrained one) are left out.
    :param vocabulary: size of the language model's. A response without words has the score of
        a uniform guess, -log(vocabulary): a mean of 0 would be the best score of all.
    :return: (...), at most 0.
    """
    guess = -torch.log(torch.tensor(float(vocabulary), device=mask.device))
    return torch.where(mask.any(dim=-1), length_normalised(token_scores, mask), guess)


def discourse_coherence(score: Tensor) -> Tensor:
    """
    Eq. 7: R_2 = log p(y = 1 | a, s), by the frozen next-utterance head.

    :param score: its logit at [CLS] behind the response, (...). :return: (...), at most 0.
    """
    return log_next_utterance(score)


def persona_perception(agent: Tensor, user: Tensor, gamma: float) -> Tensor:
    """
    Eq. 8: R_3(a_n) = r(a_n) + sum_{k>n} (gamma^(2(k-n)-1) r(x_k) + gamma^(2(k-n)) r(a_k)).

    The dialogue is x_1, a_1, x_2, a_2, ...: each turn of either speaker counts gamma times the
    one before it, so the sum is computed from the end. The user's first utterance is not an
    effect of the agent's and does not count.

    :param agent: r(a_n) of Eq. 9, the agent's perception scores, (B, N).
    :param user: r(x_n), the user's, (B, N); the first column is not used.
    :param gamma: discount per turn, 0 to 1; the paper's is 0.5.
    :return: (B, N)
    """
    returns = agent.clone()
    for n in range(agent.shape[1] - 2, -1, -1):
        returns[:, n] += gamma * (user[:, n + 1] + gamma * returns[:, n + 1])
    return returns


def coverage(probability: Tensor) -> Tensor:
    """
    How much of a profile the partner knows after each of its owner's utterances: the mean over
    profile sentences of the highest probability so far. Not in the paper.

    :param probability: (..., N, L), that utterance n reveals sentence k (`receiver.revealed`).
    :return: (..., N), 0 to 1, never falling; 0 for an empty profile.
    """
    so_far = probability.cummax(dim=-2).values
    return so_far.sum(dim=-1) / max(1, probability.shape[-1])


def gains(known: Tensor) -> Tensor:
    """What each turn adds: the first from 0, and what was known already adds nothing: (..., N)."""
    return known.diff(dim=-1, prepend=torch.zeros_like(known[..., :1]))


def told_again(probability: Tensor) -> Tensor:
    """
    How often an owner of a profile has by now revealed what was revealed before, each sentence by
    itself: revealed means more likely than not. Not in the paper.

    :param probability: as in `coverage`. :return: (..., N), never falling.
    """
    told = probability > 0.5
    again = told & (told.cumsum(dim=-2) > 1)
    return again.sum(dim=-1).cumsum(dim=-1).float()


def standardise(reward: Tensor) -> Tensor:
    """
    A reward with mean 0 and standard deviation 1 over the mini-batch, so that the lambdas compare
    rewards of unlike scales. Not in the paper.

    :return: of the shape of ``reward``; 0 where it has no spread (below a millionth of its size,
        which is rounding).
    """
    exact = reward.double()
    deviation = exact.std(correction=0)
    if deviation <= 1e-6 * exact.square().mean().sqrt():
        return torch.zeros_like(reward)
    return ((exact - exact.mean()) / deviation).to(reward.dtype)


def combine(rewards: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Eq. 10: R = lambda_1 R_1 + lambda_2 R_2 + lambda_3 R_3, for any number of rewards."""
    return torch.stack([weights[name] * reward for name, reward in rewards.items()]).sum(dim=0)


def repetition(response: Sequence[str], earlier: Sequence[Sequence[str]], order: int = 3) -> float:
    """
    Minus the share of a response's n-grams that the speaker has said before.

    Not in the paper, whose error analysis (section 5.3) found speakers going in circles.

    :param response: words. :param earlier: the speaker's responses before it, as words.
    :param order: n; a shorter response counts as one n-gram.
    :return: -1 (all said before) to 0; 0 for a response without words.
    """
    said = {gram for words in earlier for gram in ngrams(words, min(order, len(words)))}
    mine = ngrams(response, min(order, len(response)))
    again = sum(gram in said or gram in mine[:i] for i, gram in enumerate(mine))
    return -again / len(mine) if mine else 0.0


def overlong(lengths: Tensor, ended: Tensor) -> Tensor:
    """
    What a response costs that is too long: 0.1 for every token beyond the sixteenth, and 1 if it
    does not end by itself. Not in the paper; a linear price of length is that of Yu et al. (2025,
    DAPO, Eq. 13).

    :param lengths: tokens of each response, [EOS] included. :param ended: bool, whether it has one.
    :return: of the same shape, at most 0.
    """
    return -PER_TOKEN * (lengths - FREE_TOKENS).clamp(min=0) - (~ended).float()
