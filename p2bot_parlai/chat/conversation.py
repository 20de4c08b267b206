"""
One conversation with a loaded Transmitter: its persona, what was said, its own randomness.

Any number of conversations share one network. Each holds what was said in it, its encoded
context and the state of its random generator; the network is used by one thread at a time,
for the length of one token, or by `replies.Batching`, for several of them.

`pieces` cuts a growing text into parts that never change again.
"""

import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from p2bot_parlai.agents.history import DialogueHistory
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.chat import arguments
from p2bot_parlai.chat.personas import Persona
from p2bot_parlai.chat.replies import Asked, Batching, Decoding, grow
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.chance import Chance
from p2bot_parlai.method.context import Dialogue, in_one_line
from p2bot_parlai.method.kv_cache import ContextMemory
from p2bot_parlai.method.memory import trim_memory
from p2bot_parlai.method.spelling import CorpusSpelling, Spelling, read, show

BOT, PARTNER = "bot", "partner"
# replies, of all conversations together
TRIM_EVERY = 500
_moment = threading.Lock()  # never held for the length of a token, as a speaker's lock is


class Utterance(NamedTuple):
    """:param speaker: ``"bot"`` or ``"partner"``, whoever talks with it."""

    speaker: str
    text: str


class Scored(NamedTuple):
    """A text and its score, whose meaning depends on the method that returns it."""

    text: str
    score: float


@dataclass
class Speaker:
    """
    What conversations share.

    :param agent: the loaded model, only ever read.
    :param spelling: of what it learnt from: people's texts are brought into it.
    :param lock: held by whoever uses the network.
    :param replies: how many were given, broken off or failed, by all conversations.
    :param batching: decodes those that are asked for at once together; None: in turns.
    """

    agent: TransmitterAgent
    spelling: CorpusSpelling
    lock: threading.RLock = field(default_factory=threading.RLock)
    replies: int = 0
    batching: Batching | None = None

    def __getstate__(self) -> dict:
        return {n: value for n, value in vars(self).items() if n not in ("lock", "batching")}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, lock=threading.RLock(), batching=None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Until its end, conversations in several threads are decoded as batches."""
        try:
            with Batching(self.agent, self.lock) as self.batching:
                yield
        finally:
            self.batching = None

    def grow(self, asked: Asked) -> Iterator[list[int]]:
        """The ids of a reply, token by token. The network is free between two tokens."""
        if self.batching:
            yield from self.batching.grow(asked)
            return
        steps = grow(self.agent, [asked])
        while True:
            with self.lock:
                step = next(steps, None)
            if step is None:
                return
            yield step[0]

    def replied(self) -> None:
        """Return freed memory to the system now and then: a web page may run for weeks."""
        with _moment:
            self.replies += 1
            due = self.replies % TRIM_EVERY == 0
        if due:
            trim_memory()


class Conversation:
    """
    Made by `P2Bot.conversation`.

    What the model reads and remembers is in the spelling of its training data; what is returned
    is written as people write (`p2bot_parlai.method.spelling`).

    :param persona: profile sentences of the bot.
    :param partner_persona: those of whoever talks with it, for a model that was trained to be
        told (``convai2:both``).
    :param seed: makes sampled replies reproducible, whatever other conversations do; None: they
        differ every time. Beam search and greedy decoding sample nothing.
    :param turns: what was said before. :param decoding: None: as the model was loaded.

    ``usage`` is how many tokens the last reply has read, as its context, and written.
    """

    def __init__(
        self,
        speaker: Speaker,
        persona: Persona | None = (),
        partner_persona: Persona | None = (),
        seed: int | None = None,
        turns: Iterable[Utterance] = (),
        decoding: Decoding | None = None,
    ):
        self._speaker, self._decoding = speaker, decoding or Decoding()
        self._history: DialogueHistory = speaker.agent.build_history()
        self._memory = ContextMemory()
        self._chance = Chance(arguments.seed(seed), speaker.agent.device)
        self._profile, self._speech = speaker.spelling.profile, speaker.spelling.speech
        self._turns: list[Utterance] = []
        for who, text in turns:
            said = in_one_line(arguments.text("turns", text))
            self._history.dialogue.turns.append((who == BOT, read(said, self._speech)))
            self._turns.append(Utterance(who, said))
        self._decoded, self.usage = "", (0, 0)
        self._speaking = self._warned = False
        self.persona, self.partner_persona = persona, partner_persona

    # ------------------------------------------------------------------ who, and what was said
    @property
    def persona(self) -> tuple[str, ...]:
        """The bot's profile sentences. Setting them does not alter earlier turns."""
        return self._persona

    @persona.setter
    def persona(self, persona: Persona | None) -> None:
        self._persona = arguments.persona("persona", persona)
        self._history.dialogue.persona = self._sentences(self._persona)

    @property
    def partner_persona(self) -> tuple[str, ...]:
        """What the bot is told about whoever talks with it."""
        return self._partner_persona

    @partner_persona.setter
    def partner_persona(self, persona: Persona | None) -> None:
        self._partner_persona = arguments.persona("partner_persona", persona)
        self._history.dialogue.partner_persona = self._sentences(self._partner_persona)

    def _sentences(self, persona: Persona) -> list[str]:
        return list(dict.fromkeys(read(sentence, self._profile) for sentence in persona))

    @property
    def turns(self) -> list[Utterance]:
        """Everything that was said, oldest first."""
        return list(self._turns)

    def __repr__(self) -> str:
        count = len(self._persona)
        who = f"persona of {count} sentence{'s' * (count != 1)}" if count else "no persona"
        return f"<{self._name()}: {who}, {len(self._turns)} turns>"

    def _name(self) -> str:
        return "Conversation"

    def __getstate__(self) -> dict:
        with self._own_turn():  # not in the middle of a reply
            return {**vars(self), "_speaking": False}

    def reset(self) -> None:
        """Start over: persona and seed stay, the turns are forgotten."""
        with self._own_turn():
            self._history.dialogue.turns, self._turns = [], []
            self._memory.forget()
            self._chance.restart()

    # ------------------------------------------------------------------------------ replies
    def reply(self, utterance: str | None = "") -> str:
        """
        The bot's answer, by the decoding that the model was loaded with.

        :param utterance: what the partner says, one line; "" or None says nothing: the bot opens,
            or goes on.
        :raises P2botError: where the persona leaves no room for it, or while another reply of
            this conversation is not finished; then nothing was said.
        """
        return "".join(self.stream(utterance))

    def stream(self, utterance: str | None = "") -> Iterator[str]:
        """
        The same answer piece by piece: joined, the pieces are what `reply` returns.

        Sampling and greedy decoding give a piece with almost every word (what the next token may
        still change waits). Beam search decodes the whole answer first and then gives it word by
        word.

        Nothing happens before the first piece is asked for. If the stream is closed early, the
        pieces given so far are the answer.

        :raises P2botError: as `reply`.
        """
        heard = in_one_line(arguments.text("utterance", "" if utterance is None else utterance))
        return self._stream(heard)

    def _stream(self, heard: str) -> Iterator[str]:
        with self._own_turn():
            self._warn_without_persona()
            dialogue, said = self._history.dialogue, ""
            before = list(dialogue.turns), list(self._turns)
            if heard:
                dialogue.turns.append((False, read(heard, self._speech)))
                self._turns.append(Utterance(PARTNER, heard))
            try:
                for piece in self._pieces():
                    said += piece
                    yield piece
            except Exception:
                (dialogue.turns, self._turns), said = before, ""
                raise
            finally:
                if said:
                    whole = said == self._show(self._decoded)
                    dialogue.say(self._decoded if whole else read(said, self._speech))
                    self._turns.append(Utterance(BOT, said))
                self._speaker.replied()

    def _warn_without_persona(self) -> None:
        counts = self._speaker.spelling.counts
        learnt_without = counts["speech"] and not counts["profile"]
        if not self._persona and not self._warned and not learnt_without:
            warnings.warn(
                "no persona: the bot makes one up. Set conversation.persona = [...]", stacklevel=4
            )
            self._warned = True

    def _show(self, text: str) -> str:
        return show(text, self._speech)

    def _pieces(self) -> Iterator[str]:
        if self._decoding.responder(self._speaker.agent).beam_size == 1:
            unchanged = self._speech == Spelling()
            return pieces(self._texts(), None if unchanged else self._show)
        *_, whole = self._texts()
        return words(self._show(whole))

    def _texts(self) -> Iterator[str]:
        """The answer as it grows."""
        agent, history = self._speaker.agent, self._history
        blocked = None if agent.beam_block_full_context else agent.text_truncate
        context, blocks = history.context(agent.text_truncate).ids, history.context(blocked).ids
        said = [text for own, text in history.dialogue.turns if own]
        asked = Asked(self._memory, context, blocks, said, self._chance, self._decoding)
        tokens = agent.dict.p2bot
        for ids in self._speaker.grow(asked):
            self.usage = (len(context), len(tokens.marks.words(ids)))
            self._decoded = tokens.decode(ids)
            yield self._decoded

    # ------------------------------------------------------------------------------ ranking
    def rank(self, context: str | Sequence[str] | None, candidates: Sequence[str]) -> list[Scored]:
        """
        Possible answers, the best first, by the model's ``rank_by``: the log-probability of
        being the next utterance, unless told otherwise.

        :param context: what was said, oldest first, the partner last, in turns; or the
            partner's one utterance. None: this conversation, as it stands. The persona is
            this conversation's.
        :raises P2botError: where there are no candidates, or the persona leaves no room.
        """
        candidates = arguments.texts("candidates", candidates)
        if not candidates:
            raise P2botError("there is nothing to rank: candidates is empty")
        agent, history, memory = self._speaker.agent, self._history, self._memory
        if context is not None:
            said = [context] if isinstance(context, str) else arguments.texts("context", context)
            said = [read(text, self._speech) for text in said]
            turns = [(bool(back % 2), text) for back, text in enumerate(reversed(said))]
            memory, history = ContextMemory(), agent.build_history()
            own, partner = self._history.dialogue.persona, self._history.dialogue.partner_persona
            history.dialogue = Dialogue(own, partner, turns[::-1])
        responses = [agent.response_ids(read(text, self._speech)) for text in candidates]
        with self._own_turn(), self._speaker.lock, torch.no_grad():
            ids = history.context(agent.text_truncate).ids
            states = memory.read(agent.network, {0: ids})
            (scores,) = agent.responder.score(states, [responses])
        order = scores.sort(descending=True, stable=True).indices.tolist()
        return [Scored(candidates[i], scores[i].item()) for i in order]

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        """One operation at a time in a conversation."""
        with _moment:
            if self._speaking:
                raise P2botError(
                    "this conversation is still replying: read the stream to its end, close() it, "
                    "or open another with P2Bot.conversation()"
                )
            self._speaking = True
        try:
            yield
        finally:
            self._speaking = False


# What the next token may still change: half a character of several bytes, and a contraction,
# which GPT's tokenizer writes as "don ' t" and `P2botTokenizer.decode` puts together again.
_UNSETTLED = re.compile(r"(?:\s*['’]\s*\w{0,2}|\s*['’]?\s*\w*\ufffd+)$")


def pieces(texts: Iterable[str], shown: Callable[[str], str] | None = None) -> Iterator[str]:
    """
    What each text adds to the one before.

    :param texts: the text so far, again and again; the last one is whole.
    :param shown: how it is shown, decided word by word; None: as it is.
    :return: pieces, none of them empty; joined they are the last text.
    """
    said = text = ""
    for text in texts:
        settled = _UNSETTLED.sub("", text)
        if shown:
            settled, text = shown(settled.rpartition(" ")[0]), shown(text)
        if len(settled) > len(said) and settled.startswith(said):
            yield settled[len(said) :]
            said = settled
    if len(text) > len(said):
        yield text[len(said) :]


def words(text: str) -> Iterator[str]:
    """A whole text word by word, each with the spaces before it."""
    yield from re.findall(r"\s*\S+", text)
