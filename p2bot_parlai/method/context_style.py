"""
The forms of context that a Transmitter can be trained with (``--context-style``).

A form is its special tokens and what differs between them: how turns are written, what is
dropped from a context that is too long, and where responses are predicted.
`p2bot_parlai.method.context` and `p2bot_parlai.method.layout` ask it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Generic, TypeVar, cast

from p2bot_parlai.errors import P2botError

# Figure 3 of the paper shows [PS] (start of persona) and [CLS]; the others close the
# persona, mark who speaks, end a response, and fill a batch.
PAD, PERSONA_START, PERSONA_END = "[PAD]", "[PS]", "[PE]"
PARTNER, SELF, EOS, CLS = "[PARTNER]", "[SELF]", "[EOS]", "[CLS]"
SPECIAL_TOKENS = (PAD, PERSONA_START, PERSONA_END, PARTNER, SELF, EOS, CLS)

# What the released code adds to GPT's vocabulary, in its order. Its 30 distance tokens were
# never read or written by a released model.
ORIGINAL_TOKENS = (
    *("<t1start>", "<t1end>", "<pstart>", "<pend>", "<nofact>", "<start>", "<end>", "__slice__"),
    *(f"<distance{n}>" for n in range(30)),
)

# an utterance that does not fit by itself keeps at least this many tokens of its end
MIN_UTTERANCE_TOKENS = 8

Token = TypeVar("Token")  # str or int


@dataclass(frozen=True)
class ContextStyle(Generic[Token]):
    """
    The append-only form: responses stand between [SELF] and [EOS], the persona is never cut.

    Its special tokens are text or (`with_ids`) ids of a vocabulary.

    :param name: its ``--context-style``.
    :param special_tokens: all special tokens, in the order in which a vocabulary gets them.
    :param pad: fills a batch; it occurs in no context.
    :param partner: precedes an utterance of the partner; ``partner_end`` follows it.
    :param self_: what a response is predicted from; ``eos`` ends it.
    :param cls: follows a response, for the next-utterance head; None: the head reads the
        last token of the response itself.
    :param lower: text is lower-cased.
    """

    name: str
    special_tokens: tuple[str, ...]
    pad: Token
    persona_start: Token
    persona_end: Token
    partner: Token
    partner_end: Token | None
    self_: Token
    eos: Token
    cls: Token | None
    lower: bool

    # whether a response is predicted where later contexts have it, or on a branch of its own
    predicts_in_place = True

    def with_ids(
        self,
        token_to_id: Callable[[str], int | None],
        encode: Callable[[str], list[int]] | None = None,
    ) -> "ContextStyle[int]":
        """
        The same form with token ids.

        :param encode: text with special tokens to ids, for forms with marks of several tokens.
        """
        tokens = {k: v for k, v in vars(self).items() if v in self.special_tokens}
        marks: dict[str, Any] = {name: token_to_id(token) for name, token in tokens.items()}
        return replace(cast("ContextStyle[int]", self), **marks)

    def persona(
        self, own: Sequence[Sequence[Token]], partner: Sequence[Sequence[Token]]
    ) -> list[Token]:
        """
        The persona at the beginning of a context.

        :param own: the speaker's profile sentences. :param partner: the partner's, if known.
        """
        theirs = self._bracketed(partner)
        return self._bracketed(own) + ([self.partner, *theirs] if theirs else [])

    def own_turn(self, words: Sequence[Token]) -> list[Token]:
        """A response as later contexts have it. :param words: without ``eos``."""
        return [self.self_, *words, self.eos]

    def prompt(self) -> list[Token]:
        """What asks for a response: it stands between the last turn and ``self_``."""
        return []

    def partner_turn(self, words: Sequence[Token]) -> list[Token]:
        """An utterance of the partner."""
        return [self.partner, *words, *_optional(self.partner_end)]

    def response(self, words: Sequence[Token], limit: int) -> list[Token]:
        """A response to be learnt or scored, at most ``limit`` tokens, with ``eos`` if it fits."""
        return [*words, self.eos][:limit]

    def words(self, response: Sequence[Token]) -> list[Token]:
        """A response up to its ``eos``, which may be missing."""
        ids = list(response)
        return ids[: ids.index(self.eos)] if self.eos in ids else ids

    def candidate(self, response: Sequence[Token]) -> list[Token]:
        """A response to be scored behind its context. :param response: with its ``eos``."""
        return [self.self_, *response, *_optional(self.cls)]

    def cut(
        self,
        head: list[Token],
        turns: Sequence[list[Token]],
        limit: int,
        longest: int | None = None,
    ) -> list[Token]:
        """
        What is kept of a context longer than ``limit`` tokens. Whole oldest turns are dropped;
        of a newest one that does not fit by itself, the end is kept.

        :param head: `persona`. :param turns: oldest first. :param longest: what ``limit`` could
            be raised to; None: anything.
        :raises P2botError: if the persona leaves no room for an utterance.
        """
        prompt = self.prompt()
        room = limit - len(head) - len(prompt)
        if room < MIN_UTTERANCE_TOKENS:
            needed = len(head) + len(prompt) + MIN_UTTERANCE_TOKENS
            remedy = "shorten it"
            if longest is None or needed <= longest:
                remedy += f", or raise --text-truncate to {needed} or more"
            if longest is not None:
                remedy += f"; this model can read {longest}"
            raise P2botError(
                f"the persona takes {len(head)} of the {limit} tokens of the context: {remedy}"
            )
        *older, newest = turns
        if len(newest) > room:
            mark = len(self.partner_turn([])) - len(_optional(self.partner_end))
            return head + newest[:mark] + newest[mark:][-(room - mark) :] + prompt
        room -= len(newest)
        first = len(older)
        while first > 0 and len(older[first - 1]) <= room:
            first -= 1
            room -= len(older[first])
        return sum(older[first:], head) + newest + prompt

    # --------------------------- all turns of a dialogue in one row, see `method.layout`
    def row(self, context: Sequence[Token], response: Sequence[Token]) -> list[Token]:
        """A turn as part of a row; a later turn shares the row if its context begins so."""
        return [*context, self.self_, *response]

    def own_branch(
        self, context: Sequence[Token], response: Sequence[Token]
    ) -> tuple[list[Token], int]:
        """What a turn adds to its `row`: tokens, and how many tokens of the row they see."""
        return _optional(self.cls), len(self.row(context, response))

    def _bracketed(self, sentences: Sequence[Sequence[Token]]) -> list[Token]:
        if not sentences:
            return []
        return [self.persona_start, *chain.from_iterable(sentences), self.persona_end]


class OriginalStyle(ContextStyle[Token]):
    """
    The form of the released code: a speaker's own responses are not marked in later contexts,
    and a context that is too long loses its oldest tokens, the persona first.
    """

    predicts_in_place = False

    def persona(
        self, own: Sequence[Sequence[Token]], partner: Sequence[Sequence[Token]]
    ) -> list[Token]:
        return self._bracketed([*own, *partner])

    def own_turn(self, words: Sequence[Token]) -> list[Token]:
        return list(words)

    def cut(
        self,
        head: list[Token],
        turns: Sequence[list[Token]],
        limit: int,
        longest: int | None = None,
    ) -> list[Token]:
        return sum(turns, head)[-limit:]

    def response(self, words: Sequence[Token], limit: int) -> list[Token]:
        return [*words[: limit - 1], self.eos]  # which the head reads

    def row(self, context: Sequence[Token], response: Sequence[Token]) -> list[Token]:
        return list(context)

    def own_branch(
        self, context: Sequence[Token], response: Sequence[Token]
    ) -> tuple[list[Token], int]:
        return self.candidate(response), len(context)


@dataclass(frozen=True)
class ChatStyle(ContextStyle[Token]):
    """
    ChatML, which many instruct models have learnt: the persona is in the system message, the
    partner is the user and the speaker the assistant. All of its tokens are the model's own, so it
    can be used without training.

    :param instruction: begins the system message. :param about: precedes the profile sentences,
        one a line. :param about_partner: precedes the partner's.
    :param user: begins the partner's turns. :param assistant: begins the speaker's, before
        ``self_``, which is the line break.
    """

    instruction: Sequence[Token]
    about: Sequence[Token]
    about_partner: Sequence[Token]
    user: Sequence[Token]
    assistant: Sequence[Token]

    def with_ids(
        self,
        token_to_id: Callable[[str], int | None],
        encode: Callable[[str], list[int]] | None = None,
    ) -> "ContextStyle[int]":
        assert encode, "its marks are of several tokens"
        parts = ("instruction", "about", "about_partner", "user", "assistant")
        marks: dict[str, Any] = {name: encode("".join(vars(self)[name])) for name in parts}
        marks["self_"] = token_to_id(str(self.self_))  # no special token
        return replace(super().with_ids(token_to_id), **marks)

    def persona(
        self, own: Sequence[Sequence[Token]], partner: Sequence[Sequence[Token]]
    ) -> list[Token]:
        lines = [*self.instruction]
        for title, sentences in ((self.about, own), (self.about_partner, partner)):
            if sentences:
                lines += [*title, *chain.from_iterable([self.self_, *s] for s in sentences)]
        return [*lines, self.eos]

    def own_turn(self, words: Sequence[Token]) -> list[Token]:
        return [*self.assistant, self.self_, *words, self.eos]

    def partner_turn(self, words: Sequence[Token]) -> list[Token]:
        return [*self.user, *words, self.eos]

    def prompt(self) -> list[Token]:
        return [*self.assistant]


def _optional(token: Token | None) -> list[Token]:
    return [] if token is None else [token]


APPEND: ContextStyle[str] = ContextStyle(
    name="append",
    special_tokens=SPECIAL_TOKENS,
    pad=PAD,
    persona_start=PERSONA_START,
    persona_end=PERSONA_END,
    partner=PARTNER,
    partner_end=None,
    self_=SELF,
    eos=EOS,
    cls=CLS,
    lower=False,
)
ORIGINAL: ContextStyle[str] = OriginalStyle(
    name="original",
    special_tokens=ORIGINAL_TOKENS,
    # The released code pads with <unk> and reads its padding. A token of its own, masked,
    # keeps unknown characters from being taken for padding.
    pad="<distance0>",
    persona_start="<pstart>",
    persona_end="<pend>",
    partner="<t1start>",
    partner_end="<t1end>",
    self_="<start>",
    eos="<end>",
    cls=None,
    lower=True,
)
CHATML: ContextStyle[str] = ChatStyle(
    name="chatml",
    special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    pad="<|endoftext|>",
    persona_start="<|im_start|>",
    persona_end="<|im_end|>",
    partner="<|im_start|>",
    partner_end="<|im_end|>",
    self_="Ċ",  # a line break, as byte-level vocabularies write it
    eos="<|im_end|>",
    cls="<|endoftext|>",
    lower=False,
    instruction="<|im_start|>system\nYou are a person who is getting to know somebody in a chat. "
    "Reply in one short sentence, in lower case.",
    about="\nAbout you:",
    about_partner="\nAbout the other person:",
    user="\n<|im_start|>user\n",
    assistant="\n<|im_start|>assistant",
)
STYLES = {style.name: style for style in (APPEND, ORIGINAL, CHATML)}
