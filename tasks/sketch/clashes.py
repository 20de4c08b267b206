"""Facts that exclude each other, and questions that facts already answer."""

from p2bot_parlai.tasks.sketch.grammar import FACTS, Fact

# Each line: no fact left of "|" goes with any right of it. A name without colon is a whole
# kind.
CLASHES = """
pet: a dog                                              | fear: big dogs
pet: a cat                                              | allergy: cats
pet: a snake                                            | fear: snakes
pet: a spider                                           | fear: spiders
pet: a hamster                                          | fear: mice
volunteer: an animal shelter                            | fear: big dogs ; allergy: cats
food: pizza ; food: ice cream ; food: pancakes          | allergy: milk ; allergy: eggs
food: waffles                                           | allergy: milk ; allergy: eggs
food: shrimp ; food: sushi                              | allergy: shellfish
drink: milk ; drink: hot chocolate                      | allergy: milk ; health: have diabetes
drink: lemonade ; drink: orange juice                   | health: have diabetes
food: ice cream ; food: pancakes ; food: waffles        | health: have diabetes
work: a pilot ; plan: learn to fly                      | fear: flying ; fear: heights
work: a pilot                                           | plan: learn to fly
work: a pilot                                           | health: am almost deaf
work: a nurse ; volunteer: a hospital                   | fear: needles
work: a fire fighter ; talent: breathe fire             | fear: fire ; health: have asthma
work: a farmer                                          | city
work: a taxi driver ; city: venice                      | vehicle
work: a dentist ; work: a judge                         | study
work: a librarian                                       | book
sport: swim ; sport: surf ; sport: row                  | fear: deep water
plan: sail around the world ; plan: build a boat        | fear: deep water
childhood: on a boat ; craft: go fishing                | fear: deep water
sport: climb ; craft: hike                              | fear: heights
childhood: in the mountains                             | fear: heights
childhood: in a circus                                  | fear: clowns
weather: thunder                                        | fear: thunder
health: broke my arm                                    | sport ; instrument ; craft ; talent
health: have a bad knee ; health: have a sore back      | sport ; plan: run a marathon
health: have a bad knee ; health: have a sore back      | craft: dance ; craft: hike
health: have a bad knee ; health: have a sore back      | talent ; plan: hike across spain
health: am almost deaf                                  | music ; instrument ; plan: start a band
health: am almost deaf ; health: have asthma            | talent ; craft: dance
health: have asthma ; health: have a cold               | sport ; plan: run a marathon
health: am color blind                                  | color
plan: learn to dance                                    | craft: dance
plan: go back to college                                | study
craft: paint                                            | health: am color blind
film: horror movies                                     | fear: ghosts ; fear: the dark
dislike: traffic jams                                   | vehicle: a motorcycle
dislike: early mornings                                 | work: a baker
dislike: phone calls                                    | health: am almost deaf
"""

# Whoever has a fact on the left is not asked about the kind on the right: without such a fact in
# the persona the answer would contradict it.
ANSWERED = """
work: a taxi driver                                           | vehicle
work: a nurse ; work: a teacher ; work: a dentist             | study
work: a judge ; work: a librarian ; plan: go back to college  | study
plan: start a band                                            | instrument ; music
instrument ; craft: dance ; plan: learn to dance              | music
plan: run a marathon ; plan: hike across spain                | sport
craft: hike ; craft: dance                                    | sport
plan: write a novel ; work: a librarian                       | book
city: paris ; city: tokyo ; city: rome ; city: cairo          | language
city: rio ; city: venice ; city: moscow ; city: amsterdam     | language
allergy                                                       | health
"""


def clash(one: Fact, other: Fact) -> bool:
    """Whether the facts exclude each other."""
    return other.name in _CLASHES.get(one.name, ()) or one.name in _CLASHES.get(other.name, ())


def answered_kinds(fact: Fact) -> frozenset[str]:
    """Kinds that somebody with this fact is not asked about."""
    return _ANSWERED.get(fact.name, frozenset())


def _lines(table: str) -> list[tuple[list[str], list[str]]]:
    sides = (line.split("|") for line in table.strip().splitlines())
    return [tuple([name.strip() for name in side.split(";")] for side in both) for both in sides]


def _facts_called(names: list[str]) -> list[str]:
    found = []
    for name in names:
        matching = [f for f in FACTS if f == name or f.startswith(f"{name}:")]
        if not matching:
            raise ValueError(f"no fact or kind of facts is called {name}")
        found += matching
    return found


def _index() -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    apart: dict[str, frozenset[str]] = {}
    for left, right in _lines(CLASHES):
        for name in _facts_called(left):
            apart[name] = apart.get(name, frozenset()).union(_facts_called(right))
    answered: dict[str, frozenset[str]] = {}
    for left, kinds in _lines(ANSWERED):
        for name in _facts_called(left):
            answered[name] = answered.get(name, frozenset()).union(kinds)
    return apart, answered


_CLASHES, _ANSWERED = _index()
