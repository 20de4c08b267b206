"""Which personas belong to one person, and random personas of others."""

import random
import re
from collections import defaultdict
from collections.abc import Sequence

import regex

# sentences that two personas must share to belong to one person, by default
SHARED_SENTENCES = 2

# Contractions come in three forms in the files: "i'm", "i am" and, where an apostrophe was
# lost, "i m". Of English words alone: elsewhere "re" is a king and "ve" means "and".
_VERBS = "do|does|did|is|are|was|were|have|has|had|could|would|should|might|must|need"
_SUBJECTS = "i|you|he|she|it|we|they|this|that|these|those|there|what|who|where|how"
_EXPANSIONS = (
    (re.compile(r"\bcan'?t\b|\bcannot\b|\bcan t\b"), "can not"),
    (re.compile(r"\bwon'?t\b|\bwon t\b"), "will not"),
    (re.compile(rf"\b({_VERBS})n['\s]t\b"), r"\1 not"),
    (re.compile(r"\b(i)['\s]m\b"), r"\1 am"),
    (re.compile(rf"\b({_SUBJECTS}|{_VERBS})['\s]ve\b"), r"\1 have"),
    (re.compile(rf"\b({_SUBJECTS})['\s]re\b"), r"\1 are"),
    (re.compile(rf"\b({_SUBJECTS})['\s]ll\b"), r"\1 will"),
    (re.compile(r"\b(i|you|he|she|we|they)['\s]d\b"), r"\1 would"),
    (re.compile(r"\b(it|that|he|she|there|what|who|where|here|let)['\s]s\b"), r"\1 is"),
)


def sentence_key(sentence: str) -> str:
    """
    A sentence without case, punctuation and contractions.

    "I'm a nurse." and "i am a nurse" have the same key.
    """
    sentence = sentence.lower().replace("’", "'")
    for pattern, full in _EXPANSIONS:
        sentence = pattern.sub(full, sentence)
    # what re calls a letter leaves out the vowel signs of Hindi and Thai
    return " ".join(regex.sub(r"[^\p{L}\p{N}\p{M}]+", " ", sentence).split())


def group_by_person(
    personas: Sequence[Sequence[str]], shared_sentences: int = SHARED_SENTENCES
) -> list[int]:
    """
    The number of the person behind each persona.

    ConvAI2 lists most personas in several variants: any three or four of five profile
    sentences, with or without contractions. Two personas belong to one person if they share
    two sentences by `sentence_key` (or all of the shorter one, if that has one sentence), and
    so do personas connected by a chain of such pairs. Different people do share single common
    sentences ("my favorite color is blue").

    On the real files this finds exactly the 100 people that the paper counts in the dev set,
    the same from original and revised sentences; no pair of them shares exactly two. In the
    training file pairs that share just two are mostly one person with typos, so two is better
    there than three.

    :param shared_sentences: another number than two, for files in which different people have
        many sentences in common.
    :return: a number for each persona, from 0 in order of first appearance.
    """
    keys = [frozenset(map(sentence_key, persona)) for persona in personas]
    distinct = list(dict.fromkeys(keys))
    leader = list(range(len(distinct)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    seen_with: dict[str, list[int]] = defaultdict(list)
    for i, sentences in enumerate(distinct):
        shared: dict[int, int] = defaultdict(int)
        for sentence in sentences:
            for j in seen_with[sentence]:
                shared[j] += 1
            seen_with[sentence].append(i)
        for j, count in shared.items():
            if count >= min(shared_sentences, len(sentences), len(distinct[j])):
                leader[find(i)] = find(j)

    place = {sentences: find(i) for i, sentences in enumerate(distinct)}
    numbers: dict[int, int] = {}
    return [numbers.setdefault(place[key], len(numbers)) for key in keys]


def draw_others(
    person: int, members: Sequence[Sequence[int]], count: int, rng: random.Random
) -> list[int]:
    """
    Personas of ``count`` different people, none of them ``person``.

    :param members: for each person the indices of their personas; one is drawn of each.
    """
    others = rng.sample([p for p in range(len(members)) if p != person], count)
    return [rng.choice(members[other]) for other in others]
