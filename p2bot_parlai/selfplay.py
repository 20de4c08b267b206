"""
Self-play (paper, section 3.2): a frozen user and a learnable agent talk; the agent learns
by policy gradient (Eq. 4-5).

`play` makes the dialogues, rewards judge them (`p2bot_parlai.reward_models`), and
`policy_gradient_loss` is what is minimised. B dialogues of N turns, M = B * N responses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from p2bot_parlai.context import Dialogue, persona_tokens
from p2bot_parlai.interlocutor import Interlocutors
from p2bot_parlai.packing import Turn
from p2bot_parlai.tokenizer import P2botTokenizer

# a user's answer to encoded contexts, as ids
Respond = Callable[[Interlocutors], list[list[int]]]


# --------------------------------------------------------------------- the equations
def log_policy(token_scores: Tensor, mask: Tensor) -> Tensor:
    """log p(a | s), the sum over the tokens of a sampled response: (M, R) -> (M,)."""
    return (token_scores * mask).sum(dim=-1)


def mean_baseline(total: Tensor, count: Tensor) -> Tensor:
    """
    The paper's baseline: the mean reward of the mini-batch.

    :param total: sum of all rewards of the mini-batch, over all processes.
    :param count: how many they are.
    """
    return total / count


def leave_one_out_baseline(rewards: Tensor, total: Tensor, count: Tensor) -> Tensor:
    """
    For each response the mean reward of the others: (M,). It does not depend on the
    response itself, so that the gradient stays unbiased in small batches.
    """
    return (total - rewards) / (count - 1).clamp(min=1)


def policy_gradient_loss(log_p: Tensor, rewards: Tensor, baseline: Tensor) -> Tensor:
    """
    Its gradient is that of -L_rl (Eq. 5), sampled: -(R(a) - b) log p(a | s), a response.

    :param log_p: (M,), with gradients. :param rewards: (M,). :param baseline: () or (M,).
    :return: (M,)
    """
    return -(rewards - baseline).detach() * log_p


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of next-token distributions, over the whole vocabulary: (..., V) -> (...)."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


# ------------------------------------------------------------------------ the dialogues
@dataclass
class Opening:
    """
    How a dialogue begins.

    :param user_persona: profile sentences of A, the frozen user, who starts.
    :param agent_persona: those of B, the learnable agent.
    :param utterance: x_1, what A says first; it is taken from the dataset.
    :param seed: decides everything that is sampled in the dialogue.
    """

    user_persona: list[str]
    agent_persona: list[str]
    utterance: str
    seed: int


@dataclass
class Played:
    """
    A batch of finished dialogues. In the order of speaking: user_texts[0], agent_texts[0],
    user_texts[1], ...; each list holds N lists of B.

    :param turns: what the agent read (s_n) and sampled (a_n), as ids.
    :param sampled_scores: N tensors (B, R'), log-probabilities while sampling.
    """

    openings: list[Opening]
    user_texts: list[list[str]] = field(default_factory=list)
    agent_texts: list[list[str]] = field(default_factory=list)
    turns: list[list[Turn]] = field(default_factory=list)
    sampled_scores: list[Tensor] = field(default_factory=list)

    def by_dialogue(self) -> list[Turn]:
        """All turns, those of a dialogue side by side: turn n of dialogue b is b * N + n."""
        return [turn for turns in zip(*self.turns, strict=True) for turn in turns]

    @property
    def shape(self) -> tuple[int, int]:
        """(B, N)"""
        return len(self.openings), len(self.turns)


def uniforms(openings: Sequence[Opening], speaker: int, turn: int, longest: int) -> Tensor:
    """
    Random numbers for one turn of each dialogue: float (B, longest) in [0, 1).

    They depend on the dialogue's own seed alone, so that it goes the same way whatever
    is played beside it, on however many processes.
    """
    rows = []
    for opening in openings:
        generator = torch.Generator().manual_seed((opening.seed * 64 + turn) * 2 + speaker)
        rows.append(torch.rand(longest, generator=generator))
    return torch.stack(rows)


@torch.no_grad()
def play(
    openings: Sequence[Opening],
    user: Interlocutors,
    agent: Interlocutors,
    respond: Respond | None,
    turns: int,
    longest: int,
    decode: Callable[[Sequence[int]], str],
) -> Played:
    """
    Play a batch of dialogues to their ends.

    :param respond: how the user answers; None: by sampling, as the agent does.
    :param turns: N, responses of the agent in a dialogue.
    :param longest: tokens of a response at most, [EOS] included.
    """
    played = Played(list(openings))
    said = [opening.utterance for opening in openings]
    for turn in range(turns):
        if turn > 0:
            if respond is None:
                answers = user.sample(uniforms(openings, 0, turn, longest))[0]
            else:
                answers = respond(user)
                user.say(answers)
            said = [in_one_line(decode(ids)) for ids in answers]
        else:
            user.say([user.tokenizer.encode(text) for text in said])
        played.user_texts.append(said)
        agent.hear(said)
        contexts = agent.contexts()
        responses, scores = agent.sample(uniforms(openings, 1, turn, longest))
        texts = [in_one_line(decode(ids)) for ids in responses]
        played.turns.append([Turn(*pair) for pair in zip(contexts, responses, strict=True)])
        played.sampled_scores.append(scores)
        played.agent_texts.append(texts)
        user.hear(texts)
    return played


def in_one_line(text: str) -> str:
    """What the partner hears of a text with line breaks; see `context.parse_message`."""
    return " ".join(line.strip() for line in text.split("\n") if line.strip())


def persona_heads(personas: Sequence[list[str]], tokenizer: P2botTokenizer) -> list[list[int]]:
    """``[PS] sentences [PE]`` of each."""
    return [persona_tokens(Dialogue(list(p)), tokenizer, tokenizer.encode) for p in personas]
