"""
Self-play dialogues as data: openings, rollouts, rewards.

B dialogues of N turns.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from p2bot_parlai.method.layout import Turn


@dataclass
class Opening:
    """
    How a dialogue begins.

    :param user_persona: profile sentences of A, the frozen user, who starts.
    :param agent_persona: those of B, the learnable agent.
    :param utterance: x_1, A's first utterance, taken from the dataset.
    :param seed: of everything that is sampled in the dialogue.
    """

    user_persona: list[str]
    agent_persona: list[str]
    utterance: str
    seed: int


@dataclass(eq=False)  # a key: what was computed of them is remembered
class Rollouts:
    """
    A batch of finished dialogues. Each list holds N lists of B; in the order of speaking:
    user_texts[0], agent_texts[0], user_texts[1], ...

    :param turns: what the agent read (s_n) and sampled (a_n), as ids.
    :param sampled_scores: N tensors (B, R'), log-probabilities of the sampled tokens.
    """

    openings: list[Opening]
    user_texts: list[list[str]] = field(default_factory=list)
    agent_texts: list[list[str]] = field(default_factory=list)
    turns: list[list[Turn]] = field(default_factory=list)
    sampled_scores: list[Tensor] = field(default_factory=list)

    def by_dialogue(self) -> list[Turn]:
        """All turns, those of a dialogue side by side: turn n of dialogue b is b * N + n."""
        return [turn for turns in zip(*self.turns, strict=True) for turn in turns]

    def log_p(self) -> Tensor:
        """log p(a | s) of every response when it was sampled, (B, N)."""
        return torch.stack([scores.sum(dim=1) for scores in self.sampled_scores], dim=1)

    def lengths(self) -> Tensor:
        """Tokens of every response, [EOS] included, float (B, N)."""
        return torch.tensor([float(len(turn.response)) for turn in self.by_dialogue()]).view(
            self.shape
        )

    def ended(self, eos: int) -> Tensor:
        """Whether every response ends by itself, bool (B, N)."""
        return torch.tensor([eos in turn.response for turn in self.by_dialogue()]).view(self.shape)

    def speakers(self) -> tuple[tuple[list[list[str]], list[list[str]]], ...]:
        """Of the agent and of the user: what they said in each dialogue (B, N), their personas."""
        return (
            (_by_dialogue(self.agent_texts), [opening.agent_persona for opening in self.openings]),
            (_by_dialogue(self.user_texts), [opening.user_persona for opening in self.openings]),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(B, N)"""
        return len(self.openings), len(self.turns)


def _by_dialogue(texts: list[list[str]]) -> list[list[str]]:
    return [list(said) for said in zip(*texts, strict=True)]


@dataclass
class ScoredRollouts:
    """
    Finished dialogues with their rewards.

    :param raw: each reward, (B, N). :param weights: its lambda. :param total: Eq. 10, (B, N).
    :param details: what rewards are made of, (B, N) each; see `Reward.details`.
    """

    rollouts: Rollouts
    raw: dict[str, Tensor]
    weights: dict[str, float]
    total: Tensor
    details: dict[str, Tensor]

    def transcript(self, row: int) -> dict[str, Any]:
        """
        One dialogue as plain data, turn by turn: both texts, the agent's tokens (ids) with their
        log-probabilities when they were sampled, every reward.
        """
        opening = self.rollouts.openings[row]
        turns = []
        for n in range(self.rollouts.shape[1]):
            values = {name: value[row, n].item() for name, value in self.raw.items()}
            response = list(self.rollouts.turns[n][row].response)
            turns.append(
                {
                    "user": self.rollouts.user_texts[n][row],
                    "agent": self.rollouts.agent_texts[n][row],
                    "tokens": response,
                    "log_probs": self.rollouts.sampled_scores[n][row, : len(response)].tolist(),
                    "rewards": values,
                    "weighted": {name: self.weights[name] * v for name, v in values.items()},
                    "reward": self.total[row, n].item(),
                    **{name: value[row, n].item() for name, value in self.details.items()},
                }
            )
        return {
            "user_persona": opening.user_persona,
            "agent_persona": opening.agent_persona,
            "seed": opening.seed,
            "turns": turns,
        }
