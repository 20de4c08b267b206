"""
The forms of context that a Transmitter can be trained with (``--context-style``).

A form is its special tokens and four rules; who builds and reads contexts asks it:
`p2bot_parlai.method.context` and `p2bot_parlai.method.layout`.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class ContextStyle:
    """
    :param name: what ``--context-style`` calls it.
    :param special_tokens: all special tokens, in the order in which a vocabulary gets them.
    :param pad: fills a batch; it occurs in no context.
    :param partner: stands before an utterance of the partner; ``partner_end`` behind it.
    :param self_: what a response is predicted from; ``eos`` ends it.
    :param cls: read behind a response for the next-utterance head; None: the head reads the
        last token of the response itself.
    :param marks_own: whether a response stands in later contexts between ``self_`` and
        ``eos``; else its words alone do.
    :param keeps_persona: too long: whole oldest turns go; else the oldest tokens, whatever
        they are, which is the persona first.
    :param lower: text is lower-cased.
    """

    name: str
    special_tokens: tuple[str, ...]
    pad: str
    persona_start: str
    persona_end: str
    partner: str
    partner_end: str | None
    self_: str
    eos: str
    cls: str | None
    marks_own: bool
    keeps_persona: bool
    lower: bool


APPEND = ContextStyle(
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
    marks_own=True,
    keeps_persona=True,
    lower=False,
)
ORIGINAL = ContextStyle(
    name="original",
    special_tokens=ORIGINAL_TOKENS,
    # The released code fills with <unk> and reads what it filled; a token of its own that is
    # masked keeps an unknown character from being taken for filling.
    pad="<distance0>",
    persona_start="<pstart>",
    persona_end="<pend>",
    partner="<t1start>",
    partner_end="<t1end>",
    self_="<start>",
    eos="<end>",
    cls=None,
    marks_own=False,
    keeps_persona=False,
    lower=True,
)
STYLES = {style.name: style for style in (APPEND, ORIGINAL)}
