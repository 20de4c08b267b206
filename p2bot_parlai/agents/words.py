"""What counts as a word: as in ParlAI's F1, lower case, without punctuation and articles."""

from parlai.agents.tfidf_retriever.utils import STOPWORDS
from parlai.core.metrics import normalize_answer


def words(text: str) -> list[str]:
    return normalize_answer(text).split()


# NLTK's English list. It has "don't" and "n't"; without punctuation they are "don" and "t"
_STOP_WORDS = frozenset(word for entry in STOPWORDS for word in words(entry))


def content_words(text: str) -> list[str]:
    return [word for word in words(text) if word not in _STOP_WORDS]
