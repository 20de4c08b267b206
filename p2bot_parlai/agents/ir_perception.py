"""``-m p2bot/ir_perception``: TF-IDF, the second row of the paper's Table 5."""

import torch
from parlai.core.opt import Opt
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from p2bot_parlai.agents.perception import PerceptionBaseline, Question, lines

# as the paper's tables are about words, single letters ("i", "a") included
TOKEN = r"(?u)\b\w+\b"


class IrPerceptionAgent(PerceptionBaseline):
    """
    Ranks by the cosine between the TF-IDF vectors of dialogue and persona.

    A dialogue is one text: all utterances of the speaker; a persona is one text: all its
    sentences. Where words are rare is counted over the profile sentences of the fold
    (over the candidates, where the task names no sentences), so nothing is trained.
    """

    def __init__(self, opt: Opt, shared=None):
        super().__init__(opt, shared)
        self.id = "IrPerception"
        self._fitted: dict = shared["fitted"] if shared else {}

    def share(self):
        return {**super().share(), "fitted": self._fitted}

    def prepare(self, question: Question) -> None:
        sentences = tuple(question.profile_sentences)
        if not sentences:
            sentences = tuple(s for text in question.candidates for s in lines(text))
        if self._fitted.get("sentences") != sentences:
            self._fitted["sentences"] = sentences
            try:
                self._fitted["vectorizer"] = TfidfVectorizer(token_pattern=TOKEN).fit(sentences)
            except ValueError:  # not a word in any of them
                self._fitted["vectorizer"] = None

    def scores(self, utterances: list[str], personas: list[list[str]]) -> Tensor:
        vectorizer = self._fitted["vectorizer"]
        if vectorizer is None:
            return torch.zeros(len(personas))
        dialogue = vectorizer.transform([" ".join(utterances)])
        texts = vectorizer.transform([" ".join(persona) for persona in personas])
        return torch.from_numpy((texts @ dialogue.T).toarray().ravel())
