"""
What a response is like beside the reference: repetition, and how it relates to its persona.

Pure functions over texts; docs/metrics.md has ranges, sources and options. Words are those
of ParlAI's F1: lower case, without punctuation and articles.
"""

from collections.abc import Sequence

from parlai.agents.tfidf_retriever.utils import STOPWORDS
from parlai.core.metrics import normalize_answer

from p2bot_parlai.nli import VALUES

REPEATED_ORDER = 2  # See et al. (2019) count bigrams; responses are too short for more


def words(text: str) -> list[str]:
    return normalize_answer(text).split()


def ngrams(tokens: Sequence[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]


def repetition_within(response: str, order: int = REPEATED_ORDER) -> float | None:
    """
    seq-rep-n of Welleck et al. (2020): 1 - |different n-grams| / |n-grams| of a response.

    :return: 0 to 1; None for a response of fewer than n words, of which nothing can be said.
    """
    found = ngrams(words(response), order)
    return 1 - len(set(found)) / len(found) if found else None


def repetition_across(
    response: str, earlier: Sequence[str], order: int = REPEATED_ORDER
) -> float | None:
    """
    External repetition of See et al. (2019): the share of n-grams that the speaker said before.

    :param earlier: the speaker's turns before this one.
    :return: 0 to 1; None for a response of fewer than n words, or where there is no such turn.
    """
    said = {gram for turn in earlier for gram in ngrams(words(turn), order)}
    found = ngrams(words(response), order)
    return sum(gram in said for gram in found) / len(found) if found and earlier else None


def persona_f1(response: str, persona: Sequence[str]) -> float:
    """
    Knowledge F1 of Lian et al. (2019), the persona being the knowledge: harmonic mean of
    |R ∩ P| / |R| and |R ∩ P| / |P|, R and P the sets of words of the response and of all
    profile sentences, without stop words (NLTK's English list, as ParlAI has it).

    :return: 0 to 1; 0 where one of them has no such word.
    """
    said, known = _content_words(response), {w for s in persona for w in _content_words(s)}
    common = len(said & known)
    return 2 * common / (len(said) + len(known)) if common else 0.0


def _content_words(text: str) -> set[str]:
    # the list has "don't" and "n't"; without punctuation they are "don" and "t"
    return set(words(text)) - _STOP_WORDS


def c_score(labels: Sequence[str]) -> float:
    """
    C of Madotto et al. (2019), as a mean over the profile sentences instead of their sum, so
    that personas of different sizes compare.

    :param labels: of `nli.LABELS`, what the response is to each profile sentence.
    :return: -1 (contradicts all) to 1 (entails all); 0 without profile sentences.
    """
    return sum(VALUES[label] for label in labels) / len(labels) if labels else 0.0


_STOP_WORDS = frozenset(word for entry in STOPWORDS for word in words(entry))
