"""The rewards of what was said in a chat: those of self-play, Eq. 6-10, reply by reply."""

from collections.abc import Sequence
from typing import NamedTuple

from p2bot_parlai.agents.options.selfplay import WEIGHTS
from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.agents.selfplay_setup import (
    FrozenFiles,
    check_language_model,
    load_language_style,
)
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.chat.api import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.method.layout import Turn
from p2bot_parlai.method.model_files import load_transmitter
from p2bot_parlai.method.reward_models import (
    DiscourseCoherence,
    LanguageStyle,
    PersonaPerception,
    SupervisedReading,
)
from p2bot_parlai.method.rollouts import Opening, Rollouts
from p2bot_parlai.method.transmitter import Transmitter

STYLE, COHERENCE, PERSONA = "style", "coherence", "persona"
PARTS = (STYLE, COHERENCE, PERSONA)
# the paper's, for a model that was trained without self-play and so has no options for it
LAMBDAS = {STYLE: 0.4, COHERENCE: 0.1, PERSONA: 0.5}
GAMMA = 0.5


class Exchange(NamedTuple):
    """:param heard: what the partner said, "" for nothing. :param said: the answer."""

    heard: str
    said: str


class Judge:
    """
    What gives replies their rewards, as far as the models for it are there.

    :param absent: the parts that cannot be given, and why: one sentence each.
    :param remarks: what a reader of the numbers should know.
    :param lambdas: the weights of Eq. 10.
    """

    def __init__(self, bot: P2Bot):
        self.bot, self.agent = bot, bot.speaker.agent
        self.absent: dict[str, str] = {}
        self.remarks: list[str] = []
        plays = isinstance(self.agent, P2botAgent)
        opt = self.agent.opt
        self.lambdas = {n: opt[WEIGHTS[n]] for n in PARTS} if plays else LAMBDAS
        self.gamma = opt["gamma"] if plays else GAMMA
        frozen = self._supervised()
        self._style = self._language_style(frozen)
        self._coherence = self._next_utterance(frozen)
        try:
            with bot.perceiver():
                pass
        except P2botError:
            self.absent[PERSONA] = (
                "no Receiver is loaded: start with --receiver MODEL to have the mutual persona "
                "perception reward, the maps and the impression"
            )

    def _files(self) -> FrozenFiles:
        plays = isinstance(self.agent, P2botAgent)
        return FrozenFiles(self.agent.selfplay.files.saved if plays else None)

    def _supervised(self) -> Transmitter:
        """The frozen Transmitter that self-play was judged by; without self-play the bot's own."""
        files = self._files()
        if "user" not in files.saved:
            return self.agent.network
        try:
            path = files.path("user", "--init-model", None, None)
            return load_transmitter(path, self.agent.dict.p2bot).to(self.agent.device)
        except P2botError:
            self.remarks.append(
                "The supervised model that self-play began from is gone, so the bot's own "
                "Transmitter judges its replies."
            )
            return self.agent.network

    def _language_style(self, frozen: Transmitter) -> LanguageStyle | None:
        agent: TransmitterAgent = self.agent
        tokenizer = agent.dict.p2bot
        try:
            check_language_model(agent.opt, tokenizer)
            style = load_language_style(agent.opt, frozen, tokenizer, self._files())
        except P2botError as error:
            self.absent[STYLE] = f"its language model is missing ({error})"
            return None
        style.backbone.to(agent.device)
        if style.backbone is frozen.backbone:
            self.remarks.append(
                "Language style is read by the Transmitter itself, without context: it was "
                "trained from random weights, so there is no pretrained language model."
            )
        return style

    def _next_utterance(self, frozen: Transmitter) -> DiscourseCoherence | None:
        if not self.agent.has_next_utterance:
            self.absent[COHERENCE] = "the Transmitter was trained without next-utterance head"
            return None
        return DiscourseCoherence(SupervisedReading(frozen, self.agent.dict.p2bot))

    # ------------------------------------------------------------------------- one reply
    def reply(self, dialogue: Dialogue, said: str) -> dict[str, float]:
        """
        Eq. 6 and 7 of one answer; the parts that are there.

        :param dialogue: as its speaker saw it before it answered.
        """
        ids = self.agent.response_ids(said, self.agent.label_truncate)
        found = {}
        with self.bot.speaker.lock:
            history = self.agent.build_history()
            history.dialogue = dialogue
            turn = Turn(history.context(self.agent.text_truncate).ids, ids)
            heard = dialogue.turns[-1][1] if dialogue.turns else ""
            opening = Opening([], dialogue.persona, heard, 0)
            played = Rollouts([opening], [[heard]], [[said]], [[turn]])
            for name, reward in ((STYLE, self._style), (COHERENCE, self._coherence)):
                if reward is not None:
                    found[name] = reward(played).item()
        return found

    # -------------------------------------------------------------------- the whole dialogue
    def perception(
        self, exchanges: Sequence[Exchange], own: Sequence[str], partner: Sequence[str]
    ) -> list[float]:
        """
        Eq. 8 of each answer: it grows with what is said after it. Nothing without Receiver.

        :param own: the persona of who answers. :param partner: of who talks with it; a persona
            without sentences shows nothing, 0.
        """
        if PERSONA in self.absent or not exchanges:
            return []
        openings = [Opening(list(partner), list(own), exchanges[0].heard, 0)]
        heard = [[exchange.heard] for exchange in exchanges]
        said = [[exchange.said] for exchange in exchanges]
        played = Rollouts(openings, heard, said, [[] for _ in exchanges])
        with self.bot.perceiver() as perceiver:
            return PersonaPerception(perceiver, self.gamma)(played)[0].tolist()

    def total(self, values: dict[str, float]) -> float | None:
        """Eq. 10; None where a part is missing."""
        if any(name not in values for name in PARTS):
            return None
        return sum(self.lambdas[name] * values[name] for name in PARTS)
