"""
Self-play dialogues as data: how they begin, what was said, what it earned.

B dialogues of N turns.
"""

from dataclasses import dataclass, field

from torch import Tensor

from p2bot_parlai.method.layout import Turn


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
class Rollouts:
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


@dataclass
class ScoredRollouts:
    """
    Finished dialogues with their rewards.

    :param raw: each reward, (B, N). :param weights: its lambda. :param total: Eq. 10, (B, N).
    :param perceptions: r(a_n) and r(x_n) of Eq. 9, (B, N) each, where a Receiver is there.
    """

    played: Rollouts
    raw: dict[str, Tensor]
    weights: dict[str, float]
    total: Tensor
    perceptions: tuple[Tensor, Tensor] | None

    def transcript(self, row: int) -> dict:
        """One dialogue as plain data, turn by turn."""
        opening = self.played.openings[row]
        turns = []
        for n in range(self.played.shape[1]):
            values = {name: value[row, n].item() for name, value in self.raw.items()}
            turn = {
                "user": self.played.user_texts[n][row],
                "agent": self.played.agent_texts[n][row],
                "rewards": values,
                "weighted": {name: self.weights[name] * v for name, v in values.items()},
                "reward": self.total[row, n].item(),
            }
            if self.perceptions:
                agent, user = (scores[row, n].item() for scores in self.perceptions)
                turn |= {"agent_perception": agent, "user_perception": user}
            turns.append(turn)
        return {
            "user_persona": opening.user_persona,
            "agent_persona": opening.agent_persona,
            "seed": opening.seed,
            "turns": turns,
        }
