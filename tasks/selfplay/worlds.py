"""
The world of self-play: a whole batch of dialogues between two interlocutors.

ParlAI's BatchWorld never calls ``parley`` of the worlds in it, so this one is no World of
ParlAI: the teacher hands out openings, the agent brings a batch of them here, and takes
the dialogues and rewards back to learn from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from p2bot_parlai.backbones.computing import keep_casts
from p2bot_parlai.interlocutor import Interlocutors
from p2bot_parlai.reward_models import PersonaPerception, Reward, SupervisedReading
from p2bot_parlai.rewards import combine
from p2bot_parlai.selfplay import Opening, Played, Respond, persona_heads, play
from p2bot_parlai.tokenizer import P2botTokenizer
from p2bot_parlai.transmitter import Transmitter


@dataclass
class Judged:
    """
    Finished dialogues with their rewards.

    :param raw: each reward, (B, N). :param weights: its lambda. :param total: Eq. 10, (B, N).
    :param perceptions: r(a_n) and r(x_n) of Eq. 9, (B, N) each, where a Receiver is there.
    """

    played: Played
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


class SelfPlayWorld:
    """
    :param reading: by the frozen Transmitter of A, who starts. :param agent: that of B.
    :param respond: how A answers; None: by sampling.
    :param rewards: what judges B's responses. :param weights: the lambda of each.
    :param turns: responses of B in a dialogue. :param longest: tokens of one at most.
    :param limit: tokens of context at most. :param history_size: turns of it that count.
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

    def play(self, openings: Sequence[Opening]) -> Played:
        """Dialogues to their ends, both speakers without dropout."""
        user, agent = (
            Interlocutors(
                network.eval(),
                self.tokenizer,
                persona_heads(personas, self.tokenizer),
                self.limit,
                self.history_size,
            )
            for network, personas in (
                (self.user, [opening.user_persona for opening in openings]),
                (self.agent, [opening.agent_persona for opening in openings]),
            )
        )
        with keep_casts(agent.device):
            return play(
                openings,
                user,
                agent,
                self.respond,
                self.turns,
                self.longest,
                self.tokenizer.decode,
            )

    @torch.no_grad()
    def judge(self, played: Played) -> Judged:
        """Every reward of every response, and their weighted sum (Eq. 10)."""
        raw = {reward.name: reward(played).float().cpu() for reward in self.rewards}
        perceptions = None
        for reward in self.rewards:
            if isinstance(reward, PersonaPerception):
                agent, user = reward.perceptions(played)
                perceptions = agent.float().cpu(), user.float().cpu()
        return Judged(played, raw, self.weights, combine(raw, self.weights), perceptions)
