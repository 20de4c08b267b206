"""The rewards of self-play (Eq. 6-10), computed for each reply of a chat."""

from collections.abc import Sequence
from typing import NamedTuple

from p2bot_parlai.agents.options.selfplay import WEIGHTS
from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.agents.selfplay_setup import (
    FrozenFiles,
    load_language_style,
)
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
from p2bot_parlai.method.spelling import read
from p2bot_parlai.method.transmitter import Transmitter

STYLE, COHERENCE, PERSONA = "style", "coherence", "persona"
PARTS = (STYLE, COHERENCE, PERSONA)
# the paper's, for a model trained without self-play
LAMBDAS = {STYLE: 0.4, COHERENCE: 0.1, PERSONA: 0.5}
GAMMA = 0.5


class Exchange(NamedTuple):
    """:param heard: what the partner said, or "". :param said: the answer."""

    heard: str
    said: str


class ReplyRewards:
    """
    Computes those rewards whose models are available.

    :param absent: the missing parts, and why: one sentence each.
    :param remarks: caveats about the numbers.
    :param lambdas: the weights of Eq. 10. :param gamma: the discount of Eq. 8.
    """

    def __init__(self, bot: P2Bot):
        self.bot, self.agent = bot, bot.speaker.agent
        self.absent: dict[str, str] = {}
        self.remarks: list[str] = []
        self.lambdas, self.gamma, files = LAMBDAS, GAMMA, FrozenFiles()
        if isinstance(self.agent, P2botAgent):
            self.lambdas = {name: self.agent.opt[WEIGHTS[name]] for name in PARTS}
            self.gamma, files = (
                self.agent.opt["gamma"],
                FrozenFiles(self.agent.selfplay.files.saved),
            )
        frozen = self._supervised(files)
        self._rewards = {
            STYLE: self._language_style(frozen, files),
            COHERENCE: DiscourseCoherence(SupervisedReading(frozen, self.agent.dict.p2bot)),
        }
        if not self.agent.has_next_utterance:
            self.absent[COHERENCE] = "the Transmitter was trained without a next-utterance head"
        try:
            with bot.perceiver():
                pass
        except P2botError:
            self.absent[PERSONA] = (
                "no Receiver is loaded: start with --receiver MODEL for the persona reward, the "
                "relevance maps and the impressions"
            )

    def _supervised(self, files: FrozenFiles) -> Transmitter:
        """The frozen Transmitter of self-play; without self-play the bot's own."""
        if "user" in files.saved:
            try:
                path = files.path("user", "--init-model", None, None)
                found = load_transmitter(path, self.agent.dict.p2bot, like=self.agent.network)
                return found.to(self.agent.device)
            except P2botError:
                self.remarks.append(
                    "The supervised model that self-play started from is gone, so the bot's own "
                    "Transmitter scores its replies."
                )
        return self.agent.network

    def _language_style(self, frozen: Transmitter, files: FrozenFiles) -> LanguageStyle | None:
        agent, tokenizer = self.agent, self.agent.dict.p2bot
        try:
            style = load_language_style(agent.opt, frozen, tokenizer, files)
        except P2botError as error:
            self.absent[STYLE] = f"its language model is missing ({error})"
            return None
        style.backbone.to(agent.device)
        if style.backbone is frozen.backbone:
            self.remarks.append(
                "The Transmitter itself, without context, scores language style: it was trained "
                "from random weights, so there is no pretrained language model."
            )
        return style

    def reply(self, dialogue: Dialogue, said: str) -> dict[str, float]:
        """
        Eq. 6 and 7 of one reply, as far as available.

        :param dialogue: as its speaker saw it before replying.
        """
        agent, spelling = self.agent, self.bot.speaker.spelling
        dialogue = Dialogue(
            [read(sentence, spelling.profile) for sentence in dialogue.persona],
            turns=[(own, read(text, spelling.speech)) for own, text in dialogue.turns],
        )
        said = read(said, spelling.speech)
        with self.bot.speaker.lock:
            history = agent.build_history()
            history.dialogue = dialogue
            context = history.context(agent.text_truncate).ids
            turn = Turn(context, agent.response_ids(said, agent.label_truncate))
            heard = dialogue.turns[-1][1] if dialogue.turns else ""
            opening = Opening([], dialogue.persona, heard, 0)
            played = Rollouts([opening], [[heard]], [[said]], [[turn]])
            return {
                name: reward(played).item()
                for name, reward in self._rewards.items()
                if name not in self.absent
            }

    def perception(
        self, exchanges: Sequence[Exchange], own: Sequence[str], partner: Sequence[str]
    ) -> list[float]:
        """
        Eq. 8 of each reply; it changes with what is said later. Empty without a Receiver.

        :param own: persona of who replies. :param partner: of the other; an empty persona adds 0.
        """
        if PERSONA in self.absent or not exchanges:
            return []
        with self.bot.perceiver() as perceiver:
            heard, own = perceiver.typed([exchange.heard for exchange in exchanges], own)
            said, partner = perceiver.typed([exchange.said for exchange in exchanges], partner)
            openings = [Opening(partner, own, heard[0], 0)]
            turns = [[[text] for text in texts] for texts in (heard, said)]
            played = Rollouts(openings, *turns, [[] for _ in exchanges])
            return PersonaPerception(perceiver, self.gamma)(played)[0].tolist()

    def total(self, values: dict[str, float]) -> float | None:
        """Eq. 10; None if a part is missing."""
        if any(name not in values for name in PARTS):
            return None
        return sum(self.lambdas[name] * values[name] for name in PARTS)
