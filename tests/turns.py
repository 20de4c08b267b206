"""Turns to pack in rows, for networks with a vocabulary of 30."""

from p2bot_parlai.method.context_style import APPEND, SPECIAL_TOKENS
from p2bot_parlai.method.layout import Turn

MARKS = APPEND.with_ids(SPECIAL_TOKENS.index)
PARTNER, SELF, EOS = MARKS.partner, MARKS.self_, MARKS.eos


def dialogue(*responses, start=(10, 11), distractors=()):
    """Turns of one dialogue, each context going on where the last one ended."""
    context, turns = list(start), []
    for response in responses:
        context = [*context, PARTNER, 20 + len(turns)]
        turns.append(Turn(context, response, list(distractors[len(turns) : len(turns) + 1])))
        ended = response if response[-1] == EOS else [*response, EOS]
        context = [*context, SELF, *ended]
    return turns


# a response that was cut, without [EOS]; turns alone; distractors for some
TURNS = [
    *dialogue(
        [12, 13, EOS], [14, 15, 16, 17], [EOS], [18, EOS], distractors=([13, EOS], [12, 19, 12])
    ),
    *dialogue([12, EOS], [13, 14, EOS], start=(10, 11, 12, 13)),
    Turn([10, PARTNER, 25], [13, 14, EOS]),
    Turn([11, PARTNER, 26], [15, 15, 15, EOS], [[16, EOS], [17], [18, 18, EOS]]),
]
