"""
One conversation of a visitor: who talks, what was said, what it shows.

Replies are thought of in a thread of their own, so that a page that is closed or loaded again
interrupts nothing; whoever looks on follows with `Talk.follow`.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from p2bot_parlai.chat.api import Impression, P2Bot
from p2bot_parlai.chat.commands import FORMAT
from p2bot_parlai.chat.conversation import Conversation
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.tools.web.judge import PERSONA, Exchange, Judge
from p2bot_parlai.tools.web.limits import Limits, Refused

FIRST, SECOND = 0, 1  # the visitor, or A; the bot, or B
SHOWN = 5  # profile sentences of an impression


@dataclass
class Line:
    """
    :param speaker: `FIRST` or `SECOND`. :param judged: its rewards by name, where a bot said it.
    """

    speaker: int
    text: str
    judged: dict[str, float] = field(default_factory=dict)


@dataclass
class Shown:
    """
    What the utterances of one speaker show.

    :param utterances: N. :param sentences: L, of the speaker's persona; of the impression,
        where there is no persona. :param relevance: U (N, L), Eq. 11.
    :param impression: the sentences of the bank that fit best.
    """

    utterances: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    relevance: list[list[float]] = field(default_factory=list)
    impression: list[Impression] = field(default_factory=list)


class Studio:
    """
    What all conversations share.

    :param bank: profile sentences that an impression may choose from.
    :param workers: the threads that think of replies.
    :param seed: of sampled replies; None for another each time.
    """

    def __init__(
        self,
        bot: P2Bot,
        judge: Judge,
        bank: Sequence[str],
        limits: Limits,
        workers: Executor,
        seed: int | None = None,
    ):
        self.bot, self.judge, self.bank = bot, judge, list(bank)
        self.limits, self.workers, self.seed = limits, workers, seed

    def chat(self, persona: list[str], own: list[str]) -> "Talk":
        """A visitor, who plays ``own``, with the bot."""
        return Talk(self, (own, persona), (None, self.bot.conversation(persona, seed=self.seed)))

    def duet(self, first: list[str], second: list[str]) -> "Talk":
        """Two bots; A's chance is another than B's."""
        other = None if self.seed is None else self.seed + 1
        minds = (
            self.bot.conversation(first, seed=self.seed),
            self.bot.conversation(second, seed=other),
        )
        return Talk(self, (first, second), minds)


class Talk:
    """
    :param personas: of either speaker. :param minds: who answers by itself; None: a human.
    """

    def __init__(
        self,
        studio: Studio,
        personas: tuple[list[str], list[str]],
        minds: tuple[Conversation | None, Conversation],
    ):
        self.studio, self.personas, self.minds = studio, personas, minds
        self.lines: list[Line] = []
        self.shown = (Shown(), Shown())
        self.growing: Line | None = None  # what is being said
        self.fault = ""  # why the last reply did not come
        self.busy = False
        self._stopped = False
        self._version = 0
        self._changed = threading.Condition()

    # ------------------------------------------------------------------- what is asked of it
    def say(self, text: str) -> None:
        """
        The visitor says something, and the bot begins to answer.

        :param text: "" to let the bot speak.
        :raises Refused: while it is still answering, and where the conversation is full.
        """
        with self._changed:
            self._begin(1)
            if text:
                self.lines.append(Line(FIRST, text))
        self._hand_over([SECOND])

    def go_on(self, exchanges: int) -> None:
        """Two bots begin to say so many lines each. :raises Refused: as `say`."""
        with self._changed:
            self._begin(exchanges)
            last = self.lines[-1].speaker if self.lines else SECOND
        self._hand_over([1 - last, last] * exchanges)

    def stop(self) -> None:
        """What was said so far counts."""
        with self._changed:
            self._stopped = True

    def follow(self) -> Iterator[None]:
        """Once now, and at every change until nothing is being said."""
        seen = -1
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._version != seen or not self.busy)  # noqa: B023
                seen, busy = self._version, self.busy
            yield
            if not busy:
                return

    @property
    def exchanges(self) -> int:
        return sum(line.speaker == SECOND for line in self.lines)

    def _begin(self, exchanges: int) -> None:
        if self.busy:
            raise Refused("The reply before is not finished yet.")
        limit = self.studio.limits.exchanges
        if self.exchanges + exchanges > limit:
            raise Refused(f"A conversation ends after {limit} replies: start a new one.")
        self.busy, self.fault, self._stopped = True, "", False
        self._version += 1

    # ----------------------------------------------------------------------- in the worker
    def _hand_over(self, speakers: list[int]) -> None:
        try:
            self.studio.workers.submit(self._speak, speakers)
        except RuntimeError:  # the server is shutting down
            self._settle("The server is shutting down.")
            raise Refused("The server is shutting down.") from None

    def _speak(self, speakers: list[int]) -> None:
        fault = ""
        try:
            for speaker in speakers:
                if self._stopped:
                    break
                self._answer(speaker)
        except P2botError as error:
            fault = f"No reply: {error}."
        except Exception:
            logging.getLogger(__name__).exception("a reply failed")
            fault = "No reply: something went wrong on the server."
        finally:
            self._settle(fault)

    def _settle(self, fault: str) -> None:
        with self._changed:
            self.growing, self.fault, self.busy = None, fault, False
            # what nobody answered was not said: a reply that fails leaves the conversation as
            # it was
            if fault and self.lines and self.minds[self.lines[-1].speaker] is None:
                self.lines.pop()
            self._notify()

    def _answer(self, speaker: int) -> None:
        mind = self.minds[speaker]
        heard = ""
        if self.lines and self.lines[-1].speaker != speaker:
            heard = self.lines[-1].text
        before = self._dialogue(speaker, self.lines)
        stream = mind.stream(heard)
        for piece in stream:
            with self._changed:
                said = (self.growing.text if self.growing else "") + piece
                self.growing = Line(speaker, said)
                self._notify()
            if self._stopped:
                stream.close()
        said = self.growing.text if self.growing else ""
        line = Line(speaker, said, self.studio.judge.reply(before, said))
        lines = [*self.lines, line]
        shown = tuple(self._what_is_shown(who, lines) for who in (FIRST, SECOND))
        with self._changed:
            self.lines, self.growing, self.shown = lines, None, shown
            for who in (FIRST, SECOND):
                self._judge_perception(who)
            self._notify()

    def _notify(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _dialogue(self, speaker: int, lines: Sequence[Line]) -> Dialogue:
        """What was said, as one speaker sees it."""
        turns = [(line.speaker == speaker, line.text) for line in lines]
        return Dialogue(list(self.personas[speaker]), [], turns)

    def _judge_perception(self, speaker: int) -> None:
        """Eq. 8 of all lines of a bot anew: each depends on what came after it."""
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
        values = self.studio.judge.perception(exchanges, *personas)
        for line, value in zip(own, values, strict=False):  # no values without Receiver
            line.judged[PERSONA] = value

    def _what_is_shown(self, speaker: int, lines: Sequence[Line]) -> Shown:
        spoken = [line.text for line in lines if line.speaker == speaker and line.text.strip()]
        if PERSONA in self.studio.judge.absent or not spoken:
            return Shown(spoken)
        bot, impression = self.studio.bot, []
        if self.studio.bank:
            impression = bot.impression(spoken, self.studio.bank, SHOWN)
        sentences = self.personas[speaker] or [found.sentence for found in impression]
        relevance = bot.relevance(spoken, sentences) if sentences else []
        return Shown(spoken, list(sentences), relevance, impression)

    # ------------------------------------------------------------------------- to take away
    def to_json(self) -> dict:
        """As ``/save`` of ``-t p2bot:chat``, with what the page shows besides."""
        names = ("partner", "bot")
        with self._changed:
            lines, shown = list(self.lines), self.shown
        return {
            "format": FORMAT,
            "persona": self.personas[SECOND],
            "partner_persona": self.personas[FIRST],
            "turns": [
                {"speaker": names[line.speaker], "text": line.text}
                | ({"rewards": dict(line.judged)} if line.judged else {})
                for line in lines
            ],
            "perceived": {
                names[who]: {
                    "utterances": shown[who].utterances,
                    "sentences": shown[who].sentences,
                    "relevance": shown[who].relevance,
                    "impression": [found._asdict() for found in shown[who].impression],
                }
                for who in (FIRST, SECOND)
            },
        }
