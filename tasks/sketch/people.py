"""People: sets of consistent facts, and how each person words them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tasks.sketch.clashes import answered_kinds, clash
from p2bot_parlai.tasks.sketch.draw import Draw
from p2bot_parlai.tasks.sketch.grammar import FACTS, Fact

TRIES = 20_000  # before giving up on another person
SIZES = (4, 5)  # facts a persona; ConvAI2 shows three to five


@dataclass(frozen=True)
class Person:
    """:param facts: of different kinds. :param wordings: which revised sentence is used."""

    facts: tuple[Fact, ...]
    wordings: tuple[int, ...]

    @property
    def original(self) -> list[str]:
        return [fact.original for fact in self.facts]

    @property
    def revised(self) -> list[str]:
        return [
            fact.revised[wording] for fact, wording in zip(self.facts, self.wordings, strict=True)
        ]

    def place(self, kind: str) -> int | None:
        """The index of the fact of this kind."""
        return next((i for i, fact in enumerate(self.facts) if fact.kind.name == kind), None)

    def answered(self) -> set[str]:
        """Kinds that this person is not asked about."""
        return {kind for fact in self.facts for kind in answered_kinds(fact)}


def people(draw: Draw) -> Iterator[Person]:
    """
    Different people, as many as the facts allow.

    Two people share at most one fact, as two shared sentences mean one person in ConvAI2
    (`p2bot_parlai.method.personas.group_by_person`).

    :raises P2botError: if there is nobody else.
    """
    facts = tuple(FACTS.values())
    taken: set[tuple[str, str]] = set()
    tries, found = 0, 0
    while tries < TRIES:
        tries += 1
        chosen = _persona(facts, draw)
        names = sorted(fact.name for fact in chosen)
        pairs = list(combinations(names, 2))
        if taken.isdisjoint(pairs):
            taken.update(pairs)
            tries, found = 0, found + 1
            yield Person(chosen, tuple(draw.below(len(fact.revised)) for fact in chosen))
    raise P2botError(
        f"the sketch corpus has only {found} different people: lower --sketch-dialogues"
    )


def _persona(facts: tuple[Fact, ...], draw: Draw) -> tuple[Fact, ...]:
    chosen: list[Fact] = []
    size = draw.one(SIZES)
    while len(chosen) < size:
        fact = draw.one(facts)
        if all(fact.kind is not other.kind and not clash(fact, other) for other in chosen):
            chosen.append(fact)
    return tuple(chosen)
