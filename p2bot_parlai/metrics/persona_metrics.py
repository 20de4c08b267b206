"""
Metrics of a response that need no reference: repetition, and consistency with the persona.

Pure functions over texts; docs/metrics.md has ranges, sources and options. The caller passes
the function that splits a text into words.
"""

from collections.abc import Callable, Sequence

from p2bot_parlai.method.words import ngrams
from p2bot_parlai.metrics.labels import VALUES

Words = Callable[[str], Sequence[str]]

REPEATED_ORDER = 2  # See et al. (2019) count bigrams; responses are too short for more


def repetition_within(response: str, words: Words, order: int = REPEATED_ORDER) -> float | None:
    """
    seq-rep-n of Welleck et al. (2020): 1 - |distinct n-grams| / |n-grams| of a response.

    :return: 0 to 1; None for a response of fewer than n words, which has no n-grams.
    """
    found = ngrams(words(response), order)
    return 1 - len(set(found)) / len(found) if found else None


def repetition_across(
    response: str, earlier: Sequence[str], words: Words, order: int = REPEATED_ORDER
) -> float | None:
    """
    External repetition of See et al. (2019): the share of n-grams that the speaker has used before.

    :param earlier: the speaker's turns before this one.
    :return: 0 to 1; None for a response of fewer than n words, or without earlier turns.
    """
    said = {gram for turn in earlier for gram in ngrams(words(turn), order)}
    found = ngrams(words(response), order)
    return sum(gram in said for gram in found) / len(found) if found and earlier else None


def persona_f1(response: str, persona: Sequence[str], content_words: Words) -> float:
    """
    Knowledge F1 of Lian et al. (2019), with the persona as the knowledge: the harmonic mean of
    |R ∩ P| / |R| and |R ∩ P| / |P|, where R and P are the sets of words of the response and of
    all profile sentences.

    :param content_words: splits a text into words, without stop words.
    :return: 0 to 1; 0 if one of them has no such word.
    """
    said, known = set(content_words(response)), {w for s in persona for w in content_words(s)}
    common = len(said & known)
    return 2 * common / (len(said) + len(known)) if common else 0.0


def c_score(labels: Sequence[str]) -> float:
    """
    C of Madotto et al. (2019), but averaged over the profile sentences instead of summed, so
    that personas of different sizes can be compared.

    :param labels: the label (one of `LABELS`) of the response for each profile sentence.
    :return: -1 (contradicts all) to 1 (entails all); 0 without profile sentences.
    """
    return sum(VALUES[label] for label in labels) / len(labels) if labels else 0.0
