"""What people of the sketch corpus are and say. Each module holds some kinds of facts."""

from p2bot_parlai.tasks.sketch.grammar import culture, food, home, leisure, person, places, work
from p2bot_parlai.tasks.sketch.grammar.kind import Ask, Fact, Kind

MODULES = (work, home, food, places, culture, leisure, person)
KINDS: tuple[Kind, ...] = tuple(kind for module in MODULES for kind in module.KINDS)
FACTS: dict[str, Fact] = {fact.name: fact for kind in KINDS for fact in kind.facts()}

__all__ = ["FACTS", "KINDS", "Ask", "Fact", "Kind"]
