"""The dialogues of a fold, with 20 candidates a turn, as lines of ConvAI2's files."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from p2bot_parlai.method.context import OWN_PERSONA, PARTNER_PERSONA, SILENCE
from p2bot_parlai.tasks.sketch.conversation import Utterance, converse
from p2bot_parlai.tasks.sketch.draw import Draw
from p2bot_parlai.tasks.sketch.grammar import FACTS, Fact
from p2bot_parlai.tasks.sketch.people import Person, people

VERSION = 1  # to be raised with every change of what is generated: files are kept by it
FOLDS = ("train", "valid")
VARIANTS = ("self_original", "self_revised", "both_original", "both_revised", "none_original")
DIALOGUES = 9000
VALID_SHARE = 9  # a ninth as many dialogues for validation
PER_PERSON = 5  # dialogues of one speaker
FEWEST_PEOPLE = 12

CANDIDATES = 20
SAME_WORDS = 4  # distractors that say the true reply of another fact
SAME_TOPIC = 4  # others about the same kind of thing
CHATTER = 3  # at most so many that say nothing of their speaker


@dataclass
class Talk:
    """One dialogue: person 0 is the one whose replies are learnt."""

    people: tuple[Person, Person]
    exchanges: list[tuple[Utterance | None, Utterance]]


@lru_cache(maxsize=2)
def fold(name: str, seed: int, dialogues: int) -> tuple[Talk, ...]:
    """
    The dialogues of a fold. Nobody of train is in valid.

    :param dialogues: of train; valid has a ninth of them.
    """
    counts = {"train": dialogues, "valid": max(1, dialogues // VALID_SHARE)}
    sizes = [max(FEWEST_PEOPLE, counts[fold] // PER_PERSON) for fold in FOLDS]
    everybody = people(Draw(f"sketch {VERSION} {seed} people"))
    groups = dict(zip(FOLDS, [list(islice(everybody, size)) for size in sizes], strict=True))
    group = groups[name]
    draw = Draw(f"sketch {VERSION} {seed} {name}")
    talks = []
    for number in range(counts[name]):
        own = number % len(group)
        other = (own + 1 + draw.below(len(group) - 1)) % len(group)
        pair = (group[own], group[other])
        talks.append(Talk(pair, converse(pair, draw)))
    return tuple(talks)


def file_lines(
    name: str, variant: str, candidates: bool, seed: int, dialogues: int
) -> Iterator[str]:
    """
    The lines of ConvAI2's ``<name>_<variant>[_no_cands].txt``.

    The dialogues and the candidates of a fold are the same in every variant.
    """
    talks = fold(name, seed, dialogues)
    distractors = Distractors(talks, Draw(f"sketch {VERSION} {seed} {name} candidates"))
    for talk in talks:
        lines = [*persona_lines(talk, variant)]
        for heard, reply in talk.exchanges:
            line = f"{heard.text if heard else SILENCE}\t{reply.text}"
            if candidates:
                others = distractors.of(talk.people[0], reply)
                line += "\t\t" + "|".join([*others, reply.text])
            lines.append(line)
        for number, line in enumerate(lines, start=1):
            yield f"{number} {line}\n"


def revealed(name: str, seed: int, dialogues: int) -> list[list[int | None]]:
    """For each dialogue, for each reply: the place of the profile sentence that it reveals."""
    return [
        [r.fact and talk.people[0].place(r.fact.kind.name) for _, r in talk.exchanges]
        for talk in fold(name, seed, dialogues)
    ]


def persona_lines(talk: Talk, variant: str) -> Iterator[str]:
    """What stands above the dialogue."""
    shown, wording = variant.split("_")
    for person, whose in zip(talk.people, (OWN_PERSONA, PARTNER_PERSONA), strict=True):
        if shown == "both" or (shown == "self" and whose is OWN_PERSONA):
            for sentence in person.revised if wording == "revised" else person.original:
                yield f"{whose} {sentence}"


class Distractors:
    """
    Wrong replies: never the true one, and never true of the speaker.

    Several are about the same kind of thing, some of them in the same words, so that the
    persona alone tells them from the true reply.

    :param talks: of the fold; other people's utterances are the distractors.
    """

    def __init__(self, talks: tuple[Talk, ...], draw: Draw):
        self.draw = draw
        self.facts: dict[str, list[Fact]] = defaultdict(list)
        for fact in FACTS.values():
            self.facts[fact.kind.name].append(fact)
        self.pool: list[Utterance] = []
        self.telling: dict[str, list[Utterance]] = defaultdict(list)
        for talk in talks:
            for utterance in (u for exchange in talk.exchanges for u in exchange if u):
                self.pool.append(utterance)
                if utterance.told:
                    self.telling[utterance.fact.kind.name].append(utterance)

    def of(self, speaker: Person, reply: Utterance) -> list[str]:
        """19 distractors."""
        chosen: dict[str, None] = {reply.text: None}
        if reply.told:
            others = [f for f in self.facts[reply.fact.kind.name] if f is not reply.fact]
            for fact in self.draw.some(others, SAME_WORDS):
                chosen[reply.with_fact(fact)] = None
        if reply.topic:
            same = self.telling[reply.topic.name]
            self._add(chosen, same, SAME_TOPIC, speaker, reply)
        self._add(chosen, self.pool, CANDIDATES, speaker, reply)
        del chosen[reply.text]
        return self.draw.some(list(chosen), len(chosen))

    def _add(self, chosen: dict, pool: list[Utterance], count: int, speaker, reply) -> None:
        goal = min(CANDIDATES, len(chosen) + count)
        chatter, tries = 0, 0
        while pool and len(chosen) < goal and tries < 100 * CANDIDATES:
            tries += 1
            other = self.draw.one(pool)
            says_nothing = not (other.fact or other.about or other.denied)
            if holds(other, speaker) or (says_nothing and chatter == CHATTER):
                continue
            if other.text in chosen or (other.move and other.move == reply.move):
                continue
            chatter += says_nothing
            chosen[other.text] = None


def holds(utterance: Utterance, speaker: Person) -> bool:
    """Whether what the utterance says about its speaker is true of this one."""
    if utterance.denied:
        return speaker.place(utterance.denied.name) is None
    return (utterance.fact or utterance.about) in speaker.facts
