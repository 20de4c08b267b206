"""
The rewards over a batch of finished dialogues, with the models behind them.

To add one, write a subclass of `Reward` and list it in `REWARDS`: options, reports, transcripts,
the web page and Table 3 follow.
"""

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch
from torch import Tensor

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method import rewards
from p2bot_parlai.method.backbones import Backbone
from p2bot_parlai.method.layout import Layout, pack
from p2bot_parlai.method.padding import pad
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.pieces import pieces
from p2bot_parlai.method.rollouts import Rollouts
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.method.transmitter import Transmitter, scatter_to_mask, token_log_likelihood

# per pass of a language model, padding included: vocabulary logits take memory
TOKENS_AT_ONCE = 512
CHAT_START = "<|im_start|>"
Found = TypeVar("Found")


class Models(Protocol):
    """What a reward may be built from. A model is loaded when it is first asked for."""

    @property
    def tokenizer(self) -> P2botTokenizer: ...

    @property
    def reading(self) -> "SupervisedReading":
        """By the frozen supervised Transmitter."""

    @property
    def has_head(self) -> bool:
        """Whether that has a trained next-utterance head."""

    @property
    def language_model(self) -> tuple[Backbone, list[int]]:
        """The frozen language model of the style reward, and the ids that it reads first."""

    @property
    def perceiver(self) -> Perceiver:
        """The Receiver."""

    @property
    def gamma(self) -> float:
        """Discount per turn (Eq. 8)."""


class Reward:
    """
    A reward of self-play, for every response of the agent.

    ``name``: in options (``--lambda-NAME``), reports and transcripts. ``about``: what it is, in
    half a line. ``weight``: its lambda (Eq. 10) by default. ``later``: whether it depends on what
    is said after the response. ``needs_receiver``: whether it asks for `Models.perceiver`.
    ``scaled``: whether ``--reward-scale batch`` applies to it. ``reported``: the names of its
    `details`.
    """

    name: ClassVar[str]
    about: ClassVar[str] = ""
    weight: ClassVar[float] = 0.0
    later: ClassVar[bool] = False
    needs_receiver: ClassVar[bool] = False
    scaled: ClassVar[bool] = True
    reported: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def build(cls, models: Models) -> Self:
        """:raises P2botError: where a model that it needs is not there."""
        return cls()

    def __call__(self, rollouts: Rollouts) -> Tensor:
        """(B, N), one value per response."""
        raise NotImplementedError

    def details(self, rollouts: Rollouts) -> dict[str, Tensor]:
        """What it is made of, for reports and transcripts: (B, N) each."""
        return {}


def style_prefix(tokenizer: P2botTokenizer, start: int | None, text: str | None) -> list[int]:
    """
    What a language model reads before a response, as ids.

    :param start: its ``start_token``. :param text: ``--style-prefix``; None: the header of a
        user's message where ``start`` opens messages, as in the chat models whose start token is
        ``<|im_start|>``; else ``start``; else, for GPT of 2018, a full stop, as if a sentence had
        ended.
    """
    if text is None and start is not None:
        if tokenizer.backend.id_to_token(start) != CHAT_START:
            return [start]
        text = f"{CHAT_START}user\n"
    return tokenizer.encode_markup("." if text is None else text)


class LanguageStyle(Reward):
    """
    RS.1, Eq. 6: how likely a response by itself is to a frozen language model.

    :param backbone: the language model, see `p2bot_parlai.method.backbones`.
    :param prefix: ids that precede the response, at least one, so that its first word has a
        context: `style_prefix`, or ``[SELF]`` for a Transmitter with an empty context.
    :raises UsageError: for a prefix that the language model does not know.
    """

    name = "style"
    about = "language style (Eq. 6): mean log-probability of the words of a response, read alone"
    weight = 0.4  # section 5.1, as of the next two

    def __init__(self, backbone: Backbone, prefix: Sequence[int], tokenizer: P2botTokenizer):
        self.backbone, self.prefix = backbone, list(prefix)
        device = next(backbone.parameters()).device
        nothing = torch.zeros(1, 1, backbone.hidden_size, device=device)
        self.vocabulary = backbone.logits(nothing).shape[-1]
        self.special = tokenizer.special_ids
        if not self.prefix or max(self.prefix) >= self.vocabulary:
            raise UsageError(
                "--style-prefix is empty, or has tokens that the language model of the style "
                "reward does not know: choose another text"
            )

    @classmethod
    def build(cls, models: Models) -> Self:
        return cls(*models.language_model, models.tokenizer)

    def __call__(self, rollouts: Rollouts) -> Tensor:
        words = [
            [i for i in turn.response if i not in self.special and i < self.vocabulary]
            for turn in rollouts.by_dialogue()
        ]
        return self.score(words).view(rollouts.shape)

    @torch.no_grad()
    def score(self, responses: Sequence[list[int]]) -> Tensor:
        """Eq. 6 of responses as ids, those of similar length together: (M,)."""
        rows = [[*self.prefix, *response] for response in responses]
        chunks = pieces(list(map(len, rows)), TOKENS_AT_ONCE)
        parts = [self._score([rows[i] for i in chunk]) for chunk in chunks]
        order = torch.tensor([i for chunk in chunks for i in chunk])
        return torch.cat(parts)[order.argsort().to(parts[0].device)]

    def _score(self, responses: Sequence[list[int]]) -> Tensor:
        """:param responses: behind the prefix."""
        device = next(self.backbone.parameters()).device
        ids, valid = pad(responses, device)
        rows, width = ids.shape
        causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        positions = torch.arange(width, device=device).expand(rows, width)
        # padding comes last: no real token sees it
        hidden = self.backbone(ids, positions, causal.expand(rows, width, width))
        scored = valid[:, 1:] & (positions[0, 1:] >= len(self.prefix))
        logits = self.backbone.logits(hidden[:, :-1][scored])  # (K, V) of real tokens
        found = scatter_to_mask(token_log_likelihood(logits, ids[:, 1:][scored]), scored)
        return rewards.language_style(found, scored, self.vocabulary)


def _once(method: Callable[[Any, Rollouts], Found]) -> Callable[[Any, Rollouts], Found]:
    """Compute what a method finds of finished rollouts once; forget it with them."""

    @functools.wraps(method)
    def remembering(self: Any, rollouts: Rollouts) -> Found:
        known = vars(self).setdefault("_known", weakref.WeakKeyDictionary())
        if rollouts not in known:
            known[rollouts] = method(self, rollouts)
        return known[rollouts]

    return remembering


class SupervisedReading:
    """
    Rollouts as the frozen supervised Transmitter reads them: once, for the coherence reward
    and the KL divergence alike.
    """

    def __init__(self, network: Transmitter, tokenizer: P2botTokenizer):
        self.network, self.tokenizer = network, tokenizer

    @_once
    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> tuple[Layout, Tensor, Tensor]:
        """The packed turns, hidden states (P * T, D) and [CLS] scores (B * N,)."""
        packed = pack(rollouts.by_dialogue(), self.tokenizer.marks).to(self.network.device)
        return packed, *self.network.read(packed)


class DiscourseCoherence(Reward):
    """
    RS.2, Eq. 7: whether a response is the next utterance, by the frozen Transmitter.

    :param reading: by a Transmitter whose next-utterance head was trained.
    """

    name = "coherence"
    about = "discourse coherence (Eq. 7): log-probability of being the next utterance"
    weight = 0.1

    def __init__(self, reading: SupervisedReading):
        self.reading = reading

    @classmethod
    def build(cls, models: Models) -> Self:
        if not models.has_head:
            raise P2botError(
                "the coherence reward needs a next-utterance head, and this Transmitter was "
                "trained with --nup-coef 0: train it with the head, or give --lambda-coherence 0"
            )
        return cls(models.reading)

    def __call__(self, rollouts: Rollouts) -> Tensor:
        _, _, scores = self.reading(rollouts)
        return rewards.discourse_coherence(scores.float()).view(rollouts.shape)


class PersonaPerception(Reward):
    """
    RS.3, Eq. 8-9: how strongly the rest of the dialogue reveals both personas, by a Receiver.

    :param gamma: discount per turn.
    """

    name = "persona"
    about = (
        "mutual persona perception (Eq. 8): what a response and all that follows reveal of "
        "either persona"
    )
    weight, later, needs_receiver = 0.5, True, True
    reported: ClassVar[tuple[str, ...]] = ("perception", "user_perception")

    def __init__(self, perceiver: Perceiver, gamma: float):
        self.perceiver, self.gamma = perceiver, gamma

    @classmethod
    def build(cls, models: Models) -> Self:
        return cls(models.perceiver, models.gamma)

    def __call__(self, rollouts: Rollouts) -> Tensor:
        agent, user = self.details(rollouts).values()
        return rewards.persona_perception(agent, user, self.gamma)

    @_once
    def details(self, rollouts: Rollouts) -> dict[str, Tensor]:
        """Eq. 9: r(a_n) and r(x_n)."""
        size, turns = rollouts.shape
        scores = []
        for said, own in rollouts.speakers():
            utterances = [text for dialogue in said for text in dialogue]
            personas = [persona for persona in own for _ in range(turns)]
            scores.append(self.perceiver.score(utterances, personas).view(size, turns))
        return dict(zip(self.reported, scores, strict=True))


class Coverage(PersonaPerception):
    """
    Not in the paper: how much of either profile the partner gets to know (`rewards.coverage`).

    What a speaker has said already earns nothing, where RS.3 pays for it again at every turn.
    """

    name = "coverage"
    about = (
        "a reward that is not in the paper, RS.4: how much a response and all that follows add "
        "to what is known of either profile"
    )
    weight = 0.0
    reported = "covered", "user_covered", "told_again"

    @classmethod
    def build(cls, models: Models) -> Self:
        if not models.perceiver.calibration:
            raise P2botError(
                "the coverage reward needs a Receiver that knows how probable relevance makes it "
                "that a sentence is revealed, and this one was saved without: run parlai "
                "calibrate_receiver on it, or give --lambda-coverage 0"
            )
        if models.perceiver.calibration[0] <= 0:
            raise P2botError(
                "the coverage reward needs a Receiver that finds people's own profile sentences "
                "more relevant than others', and this one does not: train it longer, or give "
                "--lambda-coverage 0"
            )
        return super().build(models)

    def __call__(self, rollouts: Rollouts) -> Tensor:
        covered, user_covered, _ = self.details(rollouts).values()
        agent, user = map(rewards.gains, (covered, user_covered))
        return rewards.persona_perception(agent, user, self.gamma)

    @_once
    def details(self, rollouts: Rollouts) -> dict[str, Tensor]:
        """
        By each turn: the share of the agent's and of the user's profile that is known, and how
        often the agent has told again what was known.
        """
        agent, user = (
            [self.perceiver.probability(*pair) for pair in zip(said, own, strict=True)]
            for said, own in rollouts.speakers()
        )
        found = (
            map(rewards.coverage, agent),
            map(rewards.coverage, user),
            map(rewards.told_again, agent),
        )
        return {name: torch.stack([*v]) for name, v in zip(self.reported, found, strict=True)}


class Repetition(Reward):
    """Not in the paper: minus the share of a response that the speaker has said before."""

    name = "repetition"
    about = (
        "a reward that is not in the paper: minus the share of a response's trigrams that its "
        "speaker used before"
    )

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


class Overlong(Reward):
    """
    Not in the paper: what a response costs that is too long (`rewards.overlong`).

    It keeps its unit under ``--reward-scale batch``: a deviation of 1 would make the one long
    response among short ones cost as much as a whole collapse, and in a collapse each token the
    less, the more of them there are.

    :param eos: the id of [EOS].
    """

    name = "overlong"
    about = (
        "a reward that is not in the paper, against a collapse into length: minus 0.1 for every "
        "token of a response beyond 12, and minus 1 if it does not end by itself"
    )
    scaled = False

    def __init__(self, eos: int):
        self.eos = eos

    @classmethod
    def build(cls, models: Models) -> Self:
        return cls(models.tokenizer.eos)

    def __call__(self, rollouts: Rollouts) -> Tensor:
        return rewards.overlong(rollouts.lengths(), rollouts.ended(self.eos))


REWARDS: dict[str, type[Reward]] = {
    reward.name: reward
    for reward in (
        *(LanguageStyle, DiscourseCoherence, PersonaPerception),
        *(Coverage, Repetition, Overlong),
    )
}
