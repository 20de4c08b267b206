"""
``--metric-language``: what counts as a word in the metrics of our agents.

``en`` is ParlAI's F1: lower case, without punctuation and English articles. ``other`` is Unicode's
segmentation, for ParlAI's metrics too.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from parlai.agents.tfidf_retriever.utils import STOPWORDS
from parlai.core import metrics
from parlai.core.agents import Agent
from parlai.core.metrics import InterDistinctMetric, normalize_answer
from parlai.core.opt import Opt
from parlai.core.teachers import FixedDialogTeacher
from parlai.utils.misc import warn_once

from p2bot_parlai.method.words import is_unspaced, ngrams, unicode_words
from p2bot_parlai.parlai_support.patching import Patch, patched

ENGLISH, OTHER = LANGUAGES = ("en", "other")
KEY = "metric_language"  # of an opt, and of an agent's message where it is not English

Words = Callable[[str], list[str]]


def words(text: str) -> list[str]:
    """Of English."""
    return normalize_answer(text).split()


# NLTK's English list. It has "don't" and "n't"; without punctuation they are "don" and "t"
_STOP_WORDS = frozenset(word for entry in STOPWORDS for word in words(entry))


def content_words(text: str) -> list[str]:
    """Of English, without stop words."""
    return [word for word in words(text) if word not in _STOP_WORDS]


def words_of(language: str) -> tuple[Words, Words]:
    """
    What splits a text into words, and into those that are not stop words (none but English ones).

    :param language: of `LANGUAGES`.
    """
    return (words, content_words) if language == ENGLISH else (unicode_words, unicode_words)


def interdistinct(text: str, order: int, split: Words) -> InterDistinctMetric:
    """ParlAI's metric. :param split: of `words_of`."""
    return InterDistinctMetric(Counter(ngrams(split(text), order)))


def use_language_of(agents: Sequence[Agent], opt: Opt) -> None:
    """Give a world's options, which its teachers get, the language that an agent was saved with."""
    for agent in agents:
        if KEY in agent.opt:
            opt[KEY] = agent.opt[KEY]


def install() -> None:
    """Let ParlAI's metrics of an agent of ours count words in its language."""
    Patch(FixedDialogTeacher, "observe", in_language).apply()


def in_language(stock):
    def observe(self, observation):
        language = self.opt.get(KEY)
        if language == OTHER:
            with patched(Patch(metrics, "normalize_answer", by_unicode)):
                observation = stock(self, observation)
            observation[KEY] = language  # for --world-logs, as ParlAI does with "metrics"
            return observation
        if language and any(map(is_unspaced, getattr(self, "lastY", None) or ())):
            warn_once(
                "the labels are in a script without spaces, and to F1 and BLEU a run of its "
                "characters is one word: add --metric-language other"
            )
        return stock(self, observation)

    return observe


def by_unicode(stock):
    return lambda text: " ".join(unicode_words(text))
