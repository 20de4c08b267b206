"""Dialogues in ConvAI2's format, with distractors."""

import random
from collections.abc import Iterator, Sequence

from p2bot_parlai.method.context import OWN_PERSONA, SILENCE
from p2bot_parlai.method.personas import group_by_person
from p2bot_parlai.tools.importing.reading import Imported

DISTRACTORS = 19  # as many as in ConvAI2


def people(dialogues: Sequence[Imported]) -> list[int]:
    """The person behind each dialogue, see `group_by_person`; without a persona, its own."""
    with_persona = iter(group_by_person([d.persona for d in dialogues if d.persona]))
    return [next(with_persona) if d.persona else ~i for i, d in enumerate(dialogues)]


def draw_distractors(dialogues: Sequence[Imported], rng: random.Random) -> None:
    """
    Distractors for the turns that have none: different replies of other dialogues, which the same
    person has not said and which are not said in this dialogue; `DISTRACTORS`, or as many as there
    are.
    """
    who = people(dialogues)
    speakers: dict[str, set[int]] = {}
    for person, dialogue in zip(who, dialogues, strict=True):
        for turn in dialogue.turns:
            speakers.setdefault(turn.reply, set()).add(person)
    replies = list(speakers)
    of_others: dict[int, list[str]] = {}  # of whom most replies are, or in a small file
    for person, dialogue in zip(who, dialogues, strict=True):
        said = {text for turn in dialogue.turns for text in (turn.heard, turn.reply)}
        for turn in dialogue.turns:
            if turn.distractors is not None:
                continue
            drawn = rng.sample(replies, min(4 * DISTRACTORS, len(replies)))
            free = [t for t in drawn if person not in speakers[t] and t not in said]
            if len(free) < DISTRACTORS:
                if person not in of_others:
                    of_others[person] = [t for t in replies if person not in speakers[t]]
                free = [t for t in of_others[person] if t not in said]
                rng.shuffle(free)
            turn.distractors = free[:DISTRACTORS]


def lines(dialogues: Sequence[Imported]) -> Iterator[str]:
    """Of the file, which ``-t fromfile:fbformat`` reads."""
    for dialogue in dialogues:
        written = [f"{OWN_PERSONA} {sentence}" for sentence in dialogue.persona]
        for turn in dialogue.turns:
            fields = [turn.heard or SILENCE, turn.reply]
            if turn.distractors:
                fields += ["", "|".join([*turn.distractors, turn.reply])]
            written.append("\t".join(fields))
        yield from (f"{number} {line}\n" for number, line in enumerate(written, start=1))
