"""
Self-play (paper, section 3.2): a frozen user and a learnable agent talk; the agent learns
by policy gradient (Eq. 4-5).

`SelfPlay` plays a batch of dialogues and scores them with the rewards of
`p2bot_parlai.method.reward_models`; `policy_gradient_loss` is minimised, of the advantages of
`p2bot_parlai.method.advantages`. B dialogues of N turns, M = B * N responses.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from p2bot_parlai.method.backbones.precision import keep_casts
from p2bot_parlai.method.context import Dialogue, in_one_line, persona_tokens
from p2bot_parlai.method.layout import Layout, Turn
from p2bot_parlai.method.reward_models import Reward, SupervisedReading
from p2bot_parlai.method.rewards import combine
from p2bot_parlai.method.rollouts import Opening, Rollouts, ScoredRollouts
from p2bot_parlai.method.speakers import Speakers
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import (
    Transmitter,
    log_likelihood,
    scatter_to_mask,
    token_log_likelihood,
)

# how a user responds, as ids
Respond = Callable[[Speakers], list[list[int]]]
# how far a response's probability may move from its sampled one and still be learnt from
CLIP = 0.2


# --------------------------------------------------------------------- the equations
def policy_gradient_loss(log_p: Tensor, advantages: Tensor) -> Tensor:
    """
    Its gradient is that of -L_rl (Eq. 5), sampled: -(R(a) - b) log p(a | s), a response.

    :param log_p: (M,), with gradients. :param advantages: R - b, (M,). :return: (M,)
    """
    return -advantages.detach() * log_p


def clipped_loss(log_p: Tensor, sampled: Tensor, advantages: Tensor) -> Tensor:
    """
    For rollouts that are learnt from several times (PPO; Schulman et al., 2017, Eq. 7):
    -min(r A, clip(r, 1 - 0.2, 1 + 0.2) A), with r = p(a | s) / p_sampled(a | s) of a whole
    response, the action of Eq. 4. Its gradient at r = 1 is that of `policy_gradient_loss`.

    :param log_p: (M,), with gradients. :param sampled: log p(a | s) of the policy that sampled,
        (M,). :param advantages: (M,). :return: (M,)
    """
    ratio, advantages = (log_p - sampled.detach()).exp(), advantages.detach()
    clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of next-token distributions, over the whole vocabulary: (..., V) -> (...)."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


class Reread(NamedTuple):
    """
    Of M responses, each (M,).

    :ivar log_p: log p(a | s), with gradients.
    :ivar log_q: the same under the supervised model; the mean of log_p - log_q over sampled
        responses is an estimate of the divergence.
    :ivar kl: divergence from the supervised model, summed over tokens.
    """

    log_p: Tensor
    log_q: Tensor
    kl: Tensor | None = None


def reread(
    model: Callable[[Layout], tuple[Tensor, Tensor]],
    reading: SupervisedReading,
    rollouts: Rollouts,
    kl: str = "value",
    piece: tuple[list[int], Layout] | None = None,
) -> Reread:
    """
    Log-probabilities of the responses under the current weights, without dropout, as when they
    were sampled, and under the supervised model.

    :param model: the agent's network, in a data-parallel wrapper where there is one.
    :param kl: ``none``: without the divergence, which looks at the whole vocabulary; ``value``;
        ``gradient``: most of the memory goes there.
    :param piece: which M of the turns, and their layout (`pack_in_pieces`); None: all of them.
    """
    whole, hidden, _ = reading(rollouts)
    numbers, packed = piece or (list(range(len(whole.targets))), whole)
    logits, cls_scores = model(packed)
    mask = packed.target_mask
    scores = scatter_to_mask(token_log_likelihood(logits, packed.targets[mask]), mask)
    with torch.no_grad():
        read = whole.target_index[numbers][whole.target_mask[numbers]]
        reference = reading.network.output(hidden[read])
        log_q = scatter_to_mask(token_log_likelihood(reference, packed.targets[mask]), mask)
    # 0 times the head's scores keeps it in the graph of every worker
    found = Reread(log_likelihood(scores, mask) + 0 * cls_scores, log_likelihood(log_q, mask))
    if kl == "none":
        return found
    with torch.set_grad_enabled(torch.is_grad_enabled() and kl == "gradient"):
        divergence = kl_divergence(
            logits.float().log_softmax(dim=-1), reference.float().log_softmax(dim=-1)
        )
    return found._replace(kl=scatter_to_mask(divergence, mask).sum(dim=-1))


# ------------------------------------------------------------------------ the dialogues
def uniforms(openings: Sequence[Opening], speaker: int, turn: int, longest: int) -> Tensor:
    """
    Random numbers for one turn of each dialogue: float (B, longest) in [0, 1).

    They depend on the dialogue's own seed alone, so that it goes the same way in any batch
    and on any number of processes.
    """
    rows = []
    for opening in openings:
        generator = torch.Generator().manual_seed((opening.seed * 64 + turn) * 2 + speaker)
        rows.append(torch.rand(longest, generator=generator))
    return torch.stack(rows)


def persona_heads(personas: Sequence[list[str]], tokenizer: P2botTokenizer) -> list[list[int]]:
    """``[PS] sentences [PE]`` of each."""
    return [persona_tokens(Dialogue(list(p)), tokenizer, tokenizer.encode) for p in personas]


class SelfPlay:
    """
    :param reading: by the frozen Transmitter of A, who starts. :param agent: that of B.
    :param respond: how A responds; None: by sampling.
    :param rewards: of B's responses. :param weights: the lambda of each.
    :param turns: responses of B in a dialogue. :param longest: limit of one in tokens, [EOS]
        included.
    :param limit: of a context in tokens. :param history_size: newest turns that it keeps.
    """

    def __init__(
        self,
        reading: SupervisedReading,
        agent: Transmitter,
        tokenizer: P2botTokenizer,
        respond: Respond | None,
        rewards: Sequence[Reward],
        weights: Mapping[str, float],
        turns: int,
        longest: int,
        limit: int,
        history_size: int = -1,
    ):
        self.reading, self.agent, self.tokenizer = reading, agent, tokenizer
        self.user = reading.network
        self.respond, self.turns, self.longest = respond, turns, longest
        self.limit, self.history_size = limit, history_size
        self.rewards, self.weights = list(rewards), dict(weights)

    @torch.no_grad()
    def play(self, openings: Sequence[Opening], partner: Transmitter | None = None) -> Rollouts:
        """
        A batch of dialogues, both speakers without dropout.

        :param partner: speaks as A in place of the frozen user.
        """
        user, agent = self.speakers(openings, partner)
        rollouts = Rollouts(list(openings))
        with keep_casts(self.agent.device):
            for _ in range(self.turns):
                agent.hear(self.user_turn(rollouts, user))
                user.hear(self.agent_turn(rollouts, agent))
        return rollouts

    def speakers(
        self, openings: Sequence[Opening], partner: Transmitter | None = None
    ) -> tuple[Speakers, Speakers]:
        """A, the user, and B, the agent, of each dialogue; nobody has spoken yet."""
        sides = (
            (partner or self.user, [opening.user_persona for opening in openings]),
            (self.agent, [opening.agent_persona for opening in openings]),
        )
        user, agent = (
            Speakers(
                network.eval(),
                self.tokenizer,
                persona_heads(personas, self.tokenizer),
                self.limit,
                self.history_size,
            )
            for network, personas in sides
        )
        return user, agent

    @torch.no_grad()
    def user_turn(self, rollouts: Rollouts, user: Speakers) -> list[str]:
        """A speaks: x_n of each dialogue, as B hears it; recorded in the rollouts."""
        openings, turn = rollouts.openings, len(rollouts.user_texts)
        if turn == 0:
            said = [opening.utterance for opening in openings]
            user.say([self.tokenizer.encode(text) for text in said])
        else:
            if self.respond is None:
                answers = user.sample(uniforms(openings, 0, turn, self.longest))[0]
            else:
                answers = self.respond(user)
                user.say(answers)
            said = [in_one_line(self.tokenizer.decode(ids)) for ids in answers]
        rollouts.user_texts.append(said)
        return said

    @torch.no_grad()
    def agent_turn(self, rollouts: Rollouts, agent: Speakers) -> list[str]:
        """B speaks: a_n, likewise."""
        openings, turn = rollouts.openings, len(rollouts.agent_texts)
        contexts = agent.contexts()
        responses, scores = agent.sample(uniforms(openings, 1, turn, self.longest))
        texts = [in_one_line(self.tokenizer.decode(ids)) for ids in responses]
        rollouts.turns.append([Turn(*pair) for pair in zip(contexts, responses, strict=True)])
        rollouts.sampled_scores.append(scores)
        rollouts.agent_texts.append(texts)
        return texts

    @torch.no_grad()
    def score(self, rollouts: Rollouts) -> ScoredRollouts:
        """Every reward of every response, and their weighted sum (Eq. 10)."""
        raw = {reward.name: reward(rollouts).float().cpu() for reward in self.rewards}
        details = {
            name: value.float().cpu()
            for reward in self.rewards
            for name, value in reward.details(rollouts).items()
        }
        return ScoredRollouts(rollouts, raw, self.weights, combine(raw, self.weights), details)
