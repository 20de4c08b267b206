"""
Does what somebody says entail a profile sentence, contradict it, or neither?

The classifier behind the C-score (Madotto et al., 2019), over any of our encoders. Labels
are those of Dialogue NLI (Welleck et al., 2019).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from p2bot_parlai.backbones.encoder import SentenceEncoder
from p2bot_parlai.sentences import SentenceTokenizer

LABELS = ("positive", "neutral", "negative")
# what each label counts in the C-score
VALUES = {"positive": 1, "neutral": 0, "negative": -1}
PAIRINGS = ("cross", "bi")
# pairs that a judge classifies at once, and labels that it remembers
PAIRS_AT_ONCE = 256
REMEMBERED_PAIRS = 500_000

Pair = tuple[str, str]


def pair_features(u: Tensor, v: Tensor) -> Tensor:
    """
    [u, v, |u - v|, u * v] (Conneau et al., 2017): what a classifier sees of two vectors.

    :param u: (..., d), the utterance. :param v: (..., d), the profile sentence.
    :return: (..., 4 d)
    """
    return torch.cat([u, v, (u - v).abs(), u * v], dim=-1)


class PersonaNli(nn.Module):
    """
    Logits over `LABELS` of pairs (utterance, profile sentence).

    :param pairing: "cross" reads both in one sequence, so that words of one attend to words
        of the other; "bi" encodes each alone and compares the vectors, see `pair_features`.
    :param dropout: probability, before the last layer.
    """

    def __init__(self, encoder: SentenceEncoder, pairing: str, dropout: float = 0.1):
        super().__init__()
        self.encoder, self.pairing = encoder, pairing
        width = encoder.hidden_size * (1 if pairing == "cross" else 4)
        self.dropout = nn.Dropout(dropout)
        # the name by which ParlAI's --update-classifier-head-only knows it
        self.additional_linear_layer = nn.Linear(width, len(LABELS))

    def forward(self, pairs: Sequence[Pair], tokenizer: SentenceTokenizer) -> Tensor:
        """:return: (B, 3)"""
        return self.additional_linear_layer(self.dropout(self._features(pairs, tokenizer)))

    def _features(self, pairs: Sequence[Pair], tokenizer: SentenceTokenizer) -> Tensor:
        if self.pairing == "cross":
            ids, segments = zip(*(tokenizer.encode_pair(*pair) for pair in pairs), strict=True)
            return self.encoder(ids, segments)
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        row = {text: i for i, text in enumerate(texts)}
        vectors = self.encoder([tokenizer.encode(text) for text in texts])
        u, v = (vectors[[row[pair[side]] for pair in pairs]] for side in (0, 1))
        return pair_features(u, v)


class NliJudge:
    """
    A trained classifier for other code: labels of pairs of texts, each distinct pair once.

    :param network: frozen, in evaluation mode.
    """

    def __init__(self, network: PersonaNli, tokenizer: SentenceTokenizer):
        self.network, self.tokenizer = network, tokenizer
        self._known: dict[Pair, str] = {}

    @torch.no_grad()
    def labels(self, pairs: Sequence[Pair]) -> list[str]:
        """
        One of `LABELS` for each (utterance, profile sentence); an utterance without words
        is neutral to everything.
        """
        if len(self._known) + len(pairs) > REMEMBERED_PAIRS:
            self._known.clear()
        new = [p for p in dict.fromkeys(pairs) if p not in self._known and p[0].strip()]
        for start in range(0, len(new), PAIRS_AT_ONCE):
            chunk = new[start : start + PAIRS_AT_ONCE]
            best = self.network(chunk, self.tokenizer).argmax(dim=-1).tolist()
            self._known.update((p, LABELS[i]) for p, i in zip(chunk, best, strict=True))
        return [self._known.get(pair, "neutral") for pair in pairs]
