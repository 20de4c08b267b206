"""
Pairs in the form of Dialogue NLI, from the sketch corpus, which knows what its people say.

An utterance that tells a fact entails that fact's profile sentence and contradicts those of
facts that exclude it: `clashes`, and other facts of a kind of which a person has only one. One
that denies a kind ("i do not have a pet") contradicts all its facts. Everything else is
neutral.
"""

from functools import cache, lru_cache

from p2bot_parlai.metrics.labels import LABELS
from p2bot_parlai.tasks.sketch.clashes import clash
from p2bot_parlai.tasks.sketch.corpus import VERSION, fold
from p2bot_parlai.tasks.sketch.draw import Draw
from p2bot_parlai.tasks.sketch.grammar import FACTS, Fact
from p2bot_parlai.tasks.sketch.grammar.kind import Kind

# kinds of which a person has one fact: one favourite, one home, one job
ONE_OF = frozenset(
    {"food", "color", "holiday", "city", "childhood", "hair", "work", "study", "mother"}
    | {"siblings", "children", "vehicle"}
)
# one dialogue in so many is enough: people repeat the same things
DIALOGUES_APART = {"train": 6, "valid": 3}


def relation(told: Fact | None, denied: Kind | None, fact: Fact) -> str:
    """
    The label of an utterance and the profile sentence of a fact.

    :param told: the fact that the utterance reveals. :param denied: the kind that it denies.
    """
    if denied is fact.kind:
        return "negative"
    if told is None:
        return "neutral"
    if told is fact:
        return "positive"
    if clash(told, fact) or (told.kind is fact.kind and fact.kind.name in ONE_OF):
        return "negative"
    return "neutral"


@cache
def by_relation(told: Fact | None, denied: Kind | None) -> dict[str, list[Fact]]:
    """All facts, by their label."""
    groups: dict[str, list[Fact]] = {label: [] for label in LABELS}
    for fact in FACTS.values():
        groups[relation(told, denied, fact)].append(fact)
    return groups


@lru_cache(maxsize=4)
def sketch_pairs(name: str, seed: int, dialogues: int) -> list[tuple[str, str, str]]:
    """
    (utterance, profile sentence, label) of the people of a fold, as many of each label.

    Neutral sentences are in part of the kind that the utterance asks for or speaks of.

    :param name: "train" or "valid", which share no person. :param dialogues: of train.
    """
    draw = Draw(f"sketch {VERSION} {seed} {name} nli")
    found: dict[str, dict[tuple[str, str], None]] = {label: {} for label in LABELS}
    for talk in fold(name, seed, dialogues)[:: DIALOGUES_APART[name]]:
        for said in (u for exchange in talk.exchanges for u in exchange if u):
            groups = dict(by_relation(said.fact, said.denied))
            near = [f for f in groups["neutral"] if said.topic and f.kind is said.topic]
            if near and draw.chance(0.5):
                groups["neutral"] = near
            # small talk says nothing of anybody: one neutral pair in four is enough of it
            labels = [label for label in LABELS if groups[label]]
            if labels == ["neutral"] and not draw.chance(0.25):
                continue
            for label in labels:
                fact = draw.one(groups[label])
                sentence = draw.one((fact.original, *fact.revised))
                found[label][said.text, sentence] = None
    size = min(map(len, found.values()))
    pairs = [(*p, label) for label in LABELS for p in draw.some(list(found[label]), size)]
    return draw.some(pairs, len(pairs))
