"""The rewards of self-play (Eq. 6-10), computed for each reply of a chat."""

from collections.abc import Sequence
from typing import NamedTuple

from p2bot_parlai.agents.options.paper import PAPER
from p2bot_parlai.agents.options.selfplay import LAMBDAS
from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.agents.selfplay_setup import FrozenFiles, load_language_model
from p2bot_parlai.chat.api import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import Backbone
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.method.layout import Turn
from p2bot_parlai.method.model_files import load_transmitter
from p2bot_parlai.method.reward_models import REWARDS, Reward, SupervisedReading
from p2bot_parlai.method.rollouts import Opening, Rollouts
from p2bot_parlai.method.spelling import read
from p2bot_parlai.method.transmitter import Transmitter


class Exchange(NamedTuple):
    """:param heard: what the partner said, or "". :param said: the answer."""

    heard: str
    said: str


class ReplyRewards:
    """
    Computes the rewards that the bot learnt from (without self-play: the paper's), as far as their
    models are available: the `Models` of each.

    :param absent: the missing ones, and why: one sentence each. :param no_receiver: why there is
        none; empty where there is one. :param remarks: caveats about the numbers.
    :param lambdas: the weights of Eq. 10, by name. :param gamma: the discount of Eq. 8.
    """

    def __init__(self, bot: P2Bot):
        self.bot, self.agent = bot, bot.speaker.agent
        self.absent: dict[str, str] = {}
        self.no_receiver = ""
        self.remarks: list[str] = []
        self.lambdas = {name: reward.weight for name, reward in REWARDS.items()}
        self.gamma, self.files = PAPER["gamma"], FrozenFiles()
        if isinstance(self.agent, P2botAgent):
            self.lambdas = {name: self.agent.opt[option] for name, option in LAMBDAS.items()}
            self.gamma = self.agent.opt["gamma"]
            self.files = FrozenFiles(self.agent.selfplay.files.saved)
        self.lambdas = {name: weight for name, weight in self.lambdas.items() if weight}
        self.tokenizer, self.has_head = self.agent.dict.p2bot, self.agent.has_next_utterance
        self.reading = SupervisedReading(self._supervised(self.files), self.tokenizer)
        try:
            with bot.perceiver() as self.perceiver:
                pass
        except P2botError:
            self.no_receiver = (
                "no Receiver is loaded: start with --receiver MODEL for this reward, the relevance "
                "maps and the impressions"
            )
        self._rewards: dict[str, Reward] = {}
        for name in self.lambdas:
            if REWARDS[name].needs_receiver and self.no_receiver:
                self.absent[name] = self.no_receiver
                continue
            try:
                self._rewards[name] = REWARDS[name].build(self)
            except P2botError as error:
                self.absent[name] = str(error)

    @property
    def language_model(self) -> tuple[Backbone, list[int]]:
        frozen = self.reading.network
        backbone, prefix = load_language_model(self.agent.opt, frozen, self.tokenizer, self.files)
        if backbone is frozen.backbone:
            self.remarks.append(
                "The Transmitter itself, without context, scores language style: it was trained "
                "from random weights, so there is no pretrained language model."
            )
        return backbone.to(self.agent.device), prefix

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

    def reply(self, dialogue: Dialogue, said: str) -> dict[str, float]:
        """
        The rewards of one reply that do not depend on what is said later, as far as available.

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
                if not reward.later
            }

    def later(
        self, exchanges: Sequence[Exchange], own: Sequence[str], partner: Sequence[str]
    ) -> dict[str, list[float]]:
        """
        The rewards of each reply that change with what is said later, as far as available.

        :param own: persona of who replies. :param partner: of the other; an empty persona adds 0.
        """
        rewards = {name: reward for name, reward in self._rewards.items() if reward.later}
        if not rewards or not exchanges:
            return {}
        with self.bot.perceiver() as perceiver:
            heard, own = perceiver.typed([exchange.heard for exchange in exchanges], own)
            said, partner = perceiver.typed([exchange.said for exchange in exchanges], partner)
            openings = [Opening(partner, own, heard[0], 0)]
            turns = [[[text] for text in texts] for texts in (heard, said)]
            played = Rollouts(openings, *turns, [[] for _ in exchanges])
            return {name: reward(played)[0].tolist() for name, reward in rewards.items()}

    def total(self, values: dict[str, float]) -> float | None:
        """Eq. 10; None if a part is missing."""
        if any(name not in values for name in self.lambdas):
            return None
        return sum(weight * values[name] for name, weight in self.lambdas.items())
