"""
From a conversation to the token ids that the Transmitter reads (section 3.1, Figure 3).

The form is append-only::

    [PS] persona [PE] [PARTNER] utterance [SELF] response [EOS] [PARTNER] utterance ...

The context of a turn is a prefix of the next turn's context, so that one pass can train
all turns of a dialogue and a cache lives from turn to turn. What the agent is about to
say (``[SELF] response [EOS] [CLS]``) is no part of the context.

``--context-style original`` is the form of the released code, whose own responses stand
unmarked in later contexts, and whose oldest tokens go where it is too long::

    <pstart> persona <pend> <t1start> utterance <t1end> response <t1start> utterance <t1end>

What is about to be said is ``<start> response <end>``. A context still is a prefix of the next
one, until it is too long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context_style import APPEND, ContextStyle
from p2bot_parlai.method.tokenizers import P2botTokenizer

OWN_PERSONA = "your persona:"
PARTNER_PERSONA = "partner's persona:"
# ParlAI's mark for "nobody has spoken yet": the agent opens the dialogue
SILENCE = "__SILENCE__"

# an utterance that alone does not fit keeps at least this many tokens of its end
MIN_UTTERANCE_TOKENS = 8


@dataclass
class Message:
    """What one ParlAI message says, line by line."""

    persona: list[str]
    partner_persona: list[str]
    utterance: str | None


def parse_message(text: str) -> Message:
    """
    Split a ConvAI2 message into profile sentences and utterance.

    Lines that start with ``your persona:`` or ``partner's persona:`` are profile
    sentences; the rest, joined, is the utterance, or None where nobody said anything.
    """
    persona, partner_persona, rest = [], [], []
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith(OWN_PERSONA):
            persona.append(stripped[len(OWN_PERSONA) :].strip())
        elif stripped.startswith(PARTNER_PERSONA):
            partner_persona.append(stripped[len(PARTNER_PERSONA) :].strip())
        elif stripped and stripped != SILENCE:
            rest.append(stripped)
    return Message(
        [s for s in persona if s], [s for s in partner_persona if s], " ".join(rest) or None
    )


@dataclass
class Dialogue:
    """
    A conversation as one of its two speakers sees it.

    :param persona: the agent's own profile sentences.
    :param partner_persona: the partner's, where the agent is told (convai2:both).
    :param turns: (is it the agent who speaks, what is said), oldest first.
    """

    persona: list[str] = field(default_factory=list)
    partner_persona: list[str] = field(default_factory=list)
    turns: list[tuple[bool, str]] = field(default_factory=list)

    def hear(self, text: str) -> None:
        """Take in a message: a persona, an utterance of the partner, or both."""
        message = parse_message(text)
        if message.persona or message.partner_persona:
            if self.turns:  # a new persona in the middle replaces the old one
                self.persona, self.partner_persona = [], []
            # a persona that is told twice is one persona
            self.persona = list(dict.fromkeys(self.persona + message.persona))
            self.partner_persona = list(
                dict.fromkeys(self.partner_persona + message.partner_persona)
            )
        if message.utterance is not None:
            self.turns.append((False, message.utterance))

    def say(self, text: str) -> None:
        """Take in the agent's own response."""
        self.turns.append((True, text))


@dataclass
class Context:
    """
    :param ids: token ids, at most the limit.
    :param full_length: how many tokens it had before turns were dropped.
    """

    ids: list[int]
    full_length: int


def build_context(
    dialogue: Dialogue,
    tokenizer: P2botTokenizer,
    limit: int | None = None,
    encode: Callable[[str], list[int]] | None = None,
) -> Context:
    """
    The context of a dialogue, append-only, in the form of the tokenizer.

    Too long: whole oldest turns go, the persona never. If the newest utterance alone
    does not fit beside the persona, its end is kept. In the original form the last
    ``limit`` tokens stay, whatever they are.

    :param limit: tokens at most (``--text-truncate``); None for no limit.
    :param encode: text to ids; a caller with a cache of its own passes it here.
    :raises P2botError: where the persona leaves no room for an utterance.
    """
    encode = encode or tokenizer.encode
    head = persona_tokens(dialogue, tokenizer, encode)
    blocks = [turn_tokens(own, text, tokenizer, encode) for own, text in dialogue.turns]
    return fit_context(head, blocks, limit, tokenizer.style)


def fit_context(
    head: list[int], blocks: list[list[int]], limit: int | None, style: ContextStyle = APPEND
) -> Context:
    """
    Persona and turns, as ids, within a limit; see `build_context`.

    :param head: `persona_tokens`. :param blocks: `turn_tokens` of each turn, oldest first.
    """
    full_length = len(head) + sum(map(len, blocks))
    if limit is None or full_length <= limit:
        return Context(sum(blocks, head), full_length)
    if not style.keeps_persona:
        return Context(sum(blocks, head)[-limit:], full_length)

    room = limit - len(head)
    if room < MIN_UTTERANCE_TOKENS:
        raise P2botError(
            f"the persona takes {len(head)} of the {limit} tokens of the context: shorten it, "
            f"or raise --text-truncate to {len(head) + 64} or more"
        )
    *older, newest = blocks
    if len(newest) > room:
        kept = newest[:1] + newest[1:][-(room - 1) :]
        return Context(head + kept, full_length)
    room -= len(newest)
    first = len(older)
    while first > 0 and len(older[first - 1]) <= room:
        first -= 1
        room -= len(older[first])
    return Context(sum(older[first:], head) + newest, full_length)


def persona_tokens(dialogue: Dialogue, tokenizer, encode) -> list[int]:
    """
    ``[PS] sentences [PE]``; the partner's, where given, behind a ``[PARTNER]``. The original
    form has one persona, in which the partner's sentences come last.
    """
    if not tokenizer.style.marks_own:
        return _bracketed([*dialogue.persona, *dialogue.partner_persona], tokenizer, encode)
    ids = _bracketed(dialogue.persona, tokenizer, encode)
    if dialogue.partner_persona:
        ids = ids + [tokenizer.partner] + _bracketed(dialogue.partner_persona, tokenizer, encode)
    return ids


def turn_tokens(own: bool, text: str, tokenizer: P2botTokenizer, encode) -> list[int]:
    """``[SELF] response [EOS]`` or ``[PARTNER] utterance``; see `own_turn`."""
    if own:
        return own_turn(encode(text), tokenizer)
    return partner_turn(encode(text), tokenizer)


def own_turn(words: Sequence[int], tokenizer: P2botTokenizer) -> list[int]:
    """How a response stands in later contexts. :param words: its ids, without [EOS]."""
    if not tokenizer.style.marks_own:
        return list(words)
    return [tokenizer.self_, *words, tokenizer.eos]


def partner_turn(words: Sequence[int], tokenizer: P2botTokenizer) -> list[int]:
    """How an utterance of the partner stands in contexts. :param words: its ids."""
    end = [] if tokenizer.partner_end is None else [tokenizer.partner_end]
    return [tokenizer.partner, *words, *end]


def _bracketed(sentences: Sequence[str], tokenizer, encode) -> list[int]:
    if not sentences:
        return []
    ids = [tokenizer.persona_start]
    for sentence in sentences:
        ids += encode(sentence)
    return [*ids, tokenizer.persona_end]


def in_one_line(text: str) -> str:
    """What the partner hears of a text with line breaks; see `parse_message`."""
    return " ".join(line.strip() for line in text.split("\n") if line.strip())
