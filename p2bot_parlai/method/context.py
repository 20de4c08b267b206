"""
From a conversation to the token ids that the Transmitter reads (section 3.1, Figure 3).

The form is append-only::

    [PS] persona [PE] [PARTNER] utterance [SELF] response [EOS] [PARTNER] utterance ...

The context of a turn is a prefix of the next turn's context, so that one pass trains all
turns of a dialogue, and a cache lasts from turn to turn. The response that comes next
(``[SELF] response [EOS] [CLS]``) is not part of the context.

``--context-style original`` is the form of the released code, which does not mark its own
responses in later contexts, and drops the oldest tokens of a context that is too long::

    <pstart> persona <pend> <t1start> utterance <t1end> response <t1start> utterance <t1end>

The response that comes next is ``<start> response <end>``. Here too a context is a prefix of
the next one, until it is too long.

``--context-style chatml`` is the form of instruct models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2bot_parlai.method.tokenizers import P2botTokenizer

OWN_PERSONA = "your persona:"
PARTNER_PERSONA = "partner's persona:"
# ParlAI's mark for "nobody has spoken yet": the agent opens the dialogue
SILENCE = "__SILENCE__"


@dataclass
class Message:
    """A ParlAI message, parsed."""

    persona: list[str]
    partner_persona: list[str]
    utterance: str | None


def parse_message(text: str) -> Message:
    """
    Split a ConvAI2 message into profile sentences and utterance.

    Lines that start with ``your persona:`` or ``partner's persona:`` are profile
    sentences; the rest, joined, is the utterance, or None if there is none.
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
    :param partner_persona: the partner's, where the agent knows it (convai2:both).
    :param turns: (whether the agent speaks, the text), oldest first.
    """

    persona: list[str] = field(default_factory=list)
    partner_persona: list[str] = field(default_factory=list)
    turns: list[tuple[bool, str]] = field(default_factory=list)

    def hear(self, text: str) -> None:
        """Add a message: a persona, an utterance of the partner, or both."""
        message = parse_message(text)
        if message.persona or message.partner_persona:
            if self.turns:  # a new persona in the middle replaces the old one
                self.persona, self.partner_persona = [], []
            # a persona that is told twice counts once
            self.persona = list(dict.fromkeys(self.persona + message.persona))
            self.partner_persona = list(
                dict.fromkeys(self.partner_persona + message.partner_persona)
            )
        if message.utterance is not None:
            self.turns.append((False, message.utterance))

    def say(self, text: str) -> None:
        """Add the agent's own response."""
        self.turns.append((True, text))


@dataclass
class Context:
    """
    :param ids: token ids, at most the limit.
    :param full_length: its length in tokens before turns were dropped.
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
    The context of a dialogue, in the form of the tokenizer (`ContextStyle`).

    :param limit: tokens at most (``--text-truncate``), see `ContextStyle.cut`; None: no limit.
    :param encode: text to ids, for callers that cache.
    :raises P2botError: if the persona leaves no room for an utterance.
    """
    encode = encode or tokenizer.encode
    head = persona_tokens(dialogue, tokenizer, encode)
    turns = [turn_tokens(own, text, tokenizer, encode) for own, text in dialogue.turns]
    return fit_context(head, turns, limit, tokenizer)


def fit_context(
    head: list[int], turns: Sequence[list[int]], limit: int | None, tokenizer: P2botTokenizer
) -> Context:
    """
    Persona and turns, as ids, within a limit; see `build_context`.

    :param head: `persona_tokens`. :param turns: `turn_tokens` of each, oldest first.
    """
    whole = sum(turns, head) + tokenizer.marks.prompt()
    if limit is None or len(whole) <= limit:
        return Context(whole, len(whole))
    kept = tokenizer.marks.cut(head, turns, limit, tokenizer.longest_context)
    return Context(kept, len(whole))


def persona_tokens(
    dialogue: Dialogue, tokenizer: P2botTokenizer, encode: Callable[[str], list[int]]
) -> list[int]:
    """``[PS] sentences [PE]``, then the partner's, where known; see `ContextStyle.persona`."""
    own, partner = dialogue.persona, dialogue.partner_persona
    return tokenizer.marks.persona(list(map(encode, own)), list(map(encode, partner)))


def turn_tokens(
    own: bool, text: str, tokenizer: P2botTokenizer, encode: Callable[[str], list[int]]
) -> list[int]:
    """``[SELF] response [EOS]`` or ``[PARTNER] utterance``."""
    marks = tokenizer.marks
    return marks.own_turn(encode(text)) if own else marks.partner_turn(encode(text))


def in_one_line(text: str) -> str:
    """A text with line breaks as the partner hears it; see `parse_message`."""
    return " ".join(line.strip() for line in text.split("\n") if line.strip())
