"""
The models behind the rewards, each a callable over a batch of finished dialogues.

A reward has a ``name`` and returns a tensor (B, N), one value per response of the agent. To
add one, write such a class and list it in `p2bot_parlai.agents.selfplay_setup`.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from p2bot_parlai.method import rewards
from p2bot_parlai.method.backbones import Backbone
from p2bot_parlai.method.layout import Layout, pack
from p2bot_parlai.method.padding import pad
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.rollouts import Rollouts
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter, token_log_likelihood

# responses per pass of a language model: vocabulary logits take memory
ROWS_AT_ONCE = 64


class Reward(Protocol):
    """:param name: its name in reports and transcripts."""

    name: str

    def __call__(self, rollouts: Rollouts) -> Tensor:
        """(B, N), one value per response."""


class LanguageStyle:
    """
    RS.1, Eq. 6: how likely a response by itself is to a frozen language model.

    :param backbone: the language model, see `p2bot_parlai.method.backbones`.
    :param prefix: ids that precede the response: ``[SELF]`` for a Transmitter with an empty
        context, the beginning-of-text token of a pretrained model, or nothing; then the first
        word is not scored.
    """

    name = "style"

    def __init__(self, backbone: Backbone, prefix: Sequence[int], tokenizer: P2botTokenizer):
        self.backbone, self.prefix = backbone, list(prefix)
        device = next(backbone.parameters()).device
        nothing = torch.zeros(1, 1, backbone.hidden_size, device=device)
        self.vocabulary = backbone.logits(nothing).shape[-1]
        self.special = tokenizer.special_ids

    def __call__(self, rollouts: Rollouts) -> Tensor:
        words = [
            [i for i in turn.response if i not in self.special and i < self.vocabulary]
            for turn in rollouts.by_dialogue()
        ]
        parts = [
            self.score(words[start : start + ROWS_AT_ONCE])
            for start in range(0, len(words), ROWS_AT_ONCE)
        ]
        return torch.cat(parts).view(rollouts.shape)

    @torch.no_grad()
    def score(self, responses: Sequence[list[int]]) -> Tensor:
        """Eq. 6 of responses as ids: (M,)."""
        device = next(self.backbone.parameters()).device
        given = len(self.prefix)
        ids, valid = pad([[*self.prefix, *response] for response in responses], device)
        rows, width = ids.shape
        causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        positions = torch.arange(width, device=device).expand(rows, width)
        # padding comes last: no real token sees it
        hidden = self.backbone(ids, positions, causal.expand(rows, width, width))
        scores = token_log_likelihood(self.backbone.logits(hidden[:, :-1]), ids[:, 1:])
        scored = valid[:, 1:] & (torch.arange(1, width, device=device) >= max(1, given))
        return rewards.language_style(scores, scored, self.vocabulary)


class SupervisedReading:
    """
    Rollouts as the frozen supervised Transmitter reads them: once, for the coherence reward
    and the KL divergence alike.
    """

    def __init__(self, network: Transmitter, tokenizer: P2botTokenizer):
        self.network, self.tokenizer = network, tokenizer
        self._rollouts: Rollouts | None = None

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> tuple[Layout, Tensor, Tensor]:
        """The packed turns, hidden states (P * T, D) and [CLS] scores (B * N,)."""
        if self._rollouts is not rollouts:
            packed = pack(rollouts.by_dialogue(), self.tokenizer.marks)
            packed = packed.to(self.network.device)
            self._found = (packed, *self.network.read(packed))
            self._rollouts = rollouts
        return self._found


class DiscourseCoherence:
    """
    RS.2, Eq. 7: whether a response is the next utterance, by the frozen Transmitter.

    :param reading: by a Transmitter whose next-utterance head was trained.
    """

    name = "coherence"

    def __init__(self, reading: SupervisedReading):
        self.reading = reading

    def __call__(self, rollouts: Rollouts) -> Tensor:
        _, _, scores = self.reading(rollouts)
        return rewards.discourse_coherence(scores.float()).view(rollouts.shape)


class PersonaPerception:
    """
    RS.3, Eq. 8-9: how strongly the rest of the dialogue reveals both personas, by a Receiver.

    :param gamma: discount per turn.
    """

    name = "persona"

    def __init__(self, perceiver: Perceiver, gamma: float):
        self.perceiver, self.gamma = perceiver, gamma

    def __call__(self, rollouts: Rollouts) -> Tensor:
        agent, user = self.perceptions(rollouts)
        return rewards.persona_perception(agent, user, self.gamma)

    def perceptions(self, rollouts: Rollouts) -> tuple[Tensor, Tensor]:
        """Eq. 9: r(a_n) and r(x_n), each (B, N)."""
        size, turns = rollouts.shape
        scores = []
        for texts, own in (
            (rollouts.agent_texts, [opening.agent_persona for opening in rollouts.openings]),
            (rollouts.user_texts, [opening.user_persona for opening in rollouts.openings]),
        ):
            said = [texts[n][b] for b in range(size) for n in range(turns)]
            personas = [own[b] for b in range(size) for _ in range(turns)]
            scores.append(self.perceiver.score(said, personas).view(size, turns))
        return scores[0], scores[1]


class Repetition:
    """Not in the paper: minus the share of a response that the speaker has said before."""

    name = "repetition"

    def __call__(self, rollouts: Rollouts) -> Tensor:
        dialogues = [
            [text.split() for text in said] for said in zip(*rollouts.agent_texts, strict=True)
        ]
        return torch.tensor(
            [
                [rewards.repetition(words, said[:n]) for n, words in enumerate(said)]
                for said in dialogues
            ]
        )
