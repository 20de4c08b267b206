"""``-m p2bot/ir_perception``: TF-IDF, the second row of the paper's Table 5."""

from functools import lru_cache

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from p2bot_parlai.agents.perception import PerceptionBaseline, Question, lines
from p2bot_parlai.method.words import tokens

# single letters ("i", "a") are words too
TOKEN = r"(?u)\b\w+\b"


def spaced(text: str) -> str:
    """In lower case, with spaces also where a script is written without."""
    return " ".join(tokens(text.lower()))


@lru_cache(maxsize=1)  # a fold has the same sentences in every message
def fitted(sentences: tuple[str, ...]) -> TfidfVectorizer | None:
    """None where the sentences have no word."""
    try:
        return TfidfVectorizer(preprocessor=spaced, token_pattern=TOKEN).fit(sentences)
    except ValueError:
        return None


class IrPerceptionAgent(PerceptionBaseline):
    """
    Ranks by the cosine between the TF-IDF vectors of dialogue and persona.

    A dialogue is one text: all utterances of the speaker; a persona is one text: all its
    sentences. Document frequencies are those of the profile sentences of the fold
    (of the candidates, where the task lists no sentences), so nothing is trained.
    """

    id = "IrPerception"

    def prepare(self, question: Question) -> None:
        sentences = tuple(question.profile_sentences)
        if not sentences:
            sentences = tuple(s for text in question.candidates for s in lines(text))
        self.vectorizer = fitted(sentences)

    def scores(self, utterances: list[str], personas: list[list[str]]) -> Tensor:
        vectorizer = self.vectorizer
        if vectorizer is None:
            return torch.zeros(len(personas))
        dialogue = vectorizer.transform([" ".join(utterances)])
        texts = vectorizer.transform([" ".join(persona) for persona in personas])
        return torch.from_numpy((texts @ dialogue.T).toarray().ravel())
