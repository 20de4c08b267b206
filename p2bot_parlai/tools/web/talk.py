"""One conversation of a visitor: personas, messages with their rewards, what they reveal."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field

from p2bot_parlai.chat.api import Impression, P2Bot
from p2bot_parlai.chat.commands import FORMAT
from p2bot_parlai.chat.conversation import Conversation
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.tools.web.limits import Limits, Refused
from p2bot_parlai.tools.web.rewards import Exchange, ReplyRewards

FIRST, SECOND = 0, 1  # the visitor, or A; the bot, or B
SPEAKERS = ("partner", "bot")  # their names in a saved chat
SHOWN = 5  # profile sentences of an impression


@dataclass
class Line:
    """:param speaker: `FIRST` or `SECOND`. :param rewards: by name, if a bot said it."""

    speaker: int
    text: str
    rewards: dict[str, float] = field(default_factory=dict)


@dataclass
class Shown:
    """
    What the utterances of one speaker reveal.

    :param utterances: N. :param sentences: L, of the speaker's persona, or of the impression if
        there is no persona. :param relevance: U (N, L), Eq. 11.
    :param impression: the sentences of the bank that fit best.
    """

    utterances: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    relevance: list[list[float]] = field(default_factory=list)
    impression: list[Impression] = field(default_factory=list)


@dataclass
class Studio:
    """
    What all conversations share.

    :param bank: profile sentences that an impression may choose from.
    :param seed: of sampled replies; None: they differ every time.
    """

    bot: P2Bot
    rewards: ReplyRewards
    bank: list[str]
    limits: Limits
    seed: int | None = None

    def talk(self, first: list[str], second: list[str], duet: bool = False) -> "Talk":
        """A new conversation. :param duet: of two bots, not of a visitor with the bot."""
        opener = None
        if duet:  # another seed, or both would sample alike
            opener = self.bot.conversation(first, seed=None if self.seed is None else self.seed + 1)
        return Talk(self, (first, second), (opener, self.bot.conversation(second, seed=self.seed)))


class Talk:
    """:param personas: of both speakers. :param minds: of both; None for a human."""

    def __init__(
        self,
        studio: Studio,
        personas: tuple[list[str], list[str]],
        minds: tuple[Conversation | None, Conversation],
    ):
        self.studio, self.personas, self.minds = studio, personas, minds
        self.lines: list[Line] = []
        self.shown = (Shown(), Shown())
        self._speaking = threading.Lock()

    def say(self, text: str) -> Iterator[None]:
        """
        The visitor says something and the bot replies; yields whenever `lines` changed.

        :param text: "" to let the bot speak.
        :raises Refused: while another reply is unfinished, or if the conversation is full.
        :raises P2botError: if the reply fails; then nothing was said.
        """
        with self._turn(1):
            yield from self._reply(SECOND, text)

    def go_on(self, exchanges: int) -> Iterator[None]:
        """Two bots say that many lines each. :raises Refused: as `say`."""
        with self._turn(exchanges):
            for _ in range(2 * exchanges):
                yield from self._reply(1 - self.lines[-1].speaker if self.lines else FIRST)

    @contextmanager
    def _turn(self, exchanges: int) -> Iterator[None]:
        limit = self.studio.limits.exchanges
        if sum(line.speaker == SECOND for line in self.lines) + exchanges > limit:
            raise Refused(f"A conversation ends after {limit} replies: start a new one.")
        if not self._speaking.acquire(blocking=False):
            raise Refused("The previous reply is not finished yet.")
        try:
            yield
        finally:
            self._speaking.release()

    def _reply(self, speaker: int, said: str = "") -> Iterator[None]:
        """
        One line of a bot as it grows, then its rewards. If the generator is closed, the reply
        counts as far as it got.

        :param said: by the visitor, just before.
        """
        before, line = list(self.lines), Line(speaker, "")
        try:
            if said:
                self.lines.append(Line(1 - speaker, said))
            turns = [(other.speaker == speaker, other.text) for other in self.lines]
            heard = turns[-1][1] if turns and not turns[-1][0] else ""
            self.lines.append(line)
            yield
            with closing(self.minds[speaker].stream(heard)) as stream:
                for piece in stream:
                    line.text += piece
                    yield
        except BaseException as stop:
            if not (isinstance(stop, GeneratorExit) and line.text):
                self.lines = before
            raise
        seen = Dialogue(list(self.personas[speaker]), [], turns)
        line.rewards |= self.studio.rewards.reply(seen, line.text)
        self.shown = (self._reveals(FIRST), self._reveals(SECOND))
        for who in (FIRST, SECOND):
            self._reward_again(who)
        yield

    def _reward_again(self, speaker: int) -> None:
        """Update, in all lines of a bot, the rewards that depend on later lines."""
        if self.minds[speaker] is None:
            return
        exchanges, heard, own = [], "", []
        for line in self.lines:
            if line.speaker == speaker:
                exchanges.append(Exchange(heard, line.text))
                own.append(line)
                heard = ""
            else:
                heard = line.text
        personas = self.personas[speaker], self.personas[1 - speaker]
        for name, values in self.studio.rewards.later(exchanges, *personas).items():
            for line, value in zip(own, values, strict=True):
                line.rewards[name] = value

    def _reveals(self, speaker: int) -> Shown:
        said = [line.text for line in self.lines if line.speaker == speaker and line.text.strip()]
        if self.studio.rewards.no_receiver or not said:
            return Shown(said)
        bot, bank = self.studio.bot, self.studio.bank
        impression = bot.impression(said, bank, SHOWN) if bank else []
        sentences = self.personas[speaker] or [found.sentence for found in impression]
        relevance = bot.relevance(said, sentences) if sentences else []
        return Shown(said, list(sentences), relevance, impression)

    def to_json(self) -> dict:
        """The form of ``/save`` in ``-t p2bot:chat``, with rewards and what was perceived."""
        turns = []
        for line in self.lines:
            rewards = {"rewards": dict(line.rewards)} if line.rewards else {}
            turns.append({"speaker": SPEAKERS[line.speaker], "text": line.text, **rewards})
        perceived = {}
        for name, shown in zip(SPEAKERS, self.shown, strict=True):
            impression = [found._asdict() for found in shown.impression]
            perceived[name] = {**asdict(shown), "impression": impression}
        return {
            "format": FORMAT,
            "persona": self.personas[SECOND],
            "partner_persona": self.personas[FIRST],
            "turns": turns,
            "perceived": perceived,
        }
