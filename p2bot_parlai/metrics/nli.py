"""
Does an utterance entail a profile sentence, contradict it, or neither?

The classifier behind the C-score (Madotto et al., 2019), over any of our encoders. Labels
are those of Dialogue NLI (Welleck et al., 2019).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import encoder as encoders
from p2bot_parlai.method.backbones.encoder import SentenceEncoder
from p2bot_parlai.method.model_files import (
    check_tokenizer,
    dict_file,
    load_weights,
    read_kind,
    read_sentence_tokenizer,
)
from p2bot_parlai.method.tokenizers import SentenceTokenizer
from p2bot_parlai.metrics.labels import LABELS

KIND = "persona_nli"  # the kind in a model file
PAIRINGS = ("cross", "bi")
# pairs that a judge classifies at once, and labels that it caches
PAIRS_AT_ONCE = 256
REMEMBERED_PAIRS = 500_000

Pair = tuple[str, str]


def pair_features(u: Tensor, v: Tensor) -> Tensor:
    """
    [u, v, |u - v|, u * v] (Conneau et al., 2017), the features of two vectors.

    :param u: (..., d), the utterance. :param v: (..., d), the profile sentence.
    :return: (..., 4 d)
    """
    return torch.cat([u, v, (u - v).abs(), u * v], dim=-1)


class PersonaNli(nn.Module):
    """
    Logits over `LABELS` of pairs (utterance, profile sentence).

    :param pairing: "cross" reads both in one sequence, so that their words attend to each
        other; "bi" encodes each alone and compares the vectors, see `pair_features`.
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
    A trained classifier: labels of pairs of texts, each distinct pair classified once.

    :param network: frozen, in evaluation mode.
    """

    def __init__(self, network: PersonaNli, tokenizer: SentenceTokenizer):
        self.network, self.tokenizer = network, tokenizer
        self._known: dict[Pair, str] = {}

    @torch.no_grad()
    def labels(self, pairs: Sequence[Pair]) -> list[str]:
        """
        One of `LABELS` for each (utterance, profile sentence); neutral for an utterance without
        words.
        """
        if len(self._known) + len(pairs) > REMEMBERED_PAIRS:
            self._known.clear()
        new = [p for p in dict.fromkeys(pairs) if p not in self._known and p[0].strip()]
        for start in range(0, len(new), PAIRS_AT_ONCE):
            chunk = new[start : start + PAIRS_AT_ONCE]
            best = self.network(chunk, self.tokenizer).argmax(dim=-1).tolist()
            self._known.update((p, LABELS[i]) for p, i in zip(chunk, best, strict=True))
        return [self._known.get(pair, "neutral") for pair in pairs]


def read_nli_file(path: str) -> dict[str, Any]:
    """:raises P2botError: for a file that is missing, damaged, or of another agent."""
    states = read_kind(path, KIND, "classifier")
    if states["p2bot"]["options"].get("pairing") not in PAIRINGS:
        raise P2botError(f"{path} is damaged: it does not say its pairing. Use another copy")
    return states


def load_judge(path: str) -> NliJudge:
    """
    A trained classifier: frozen, with its tokenizer.

    :param path: the ``--model-file`` of a `PersonaNliAgent`, with its ``.dict`` beside it.
    :raises P2botError: for a file that is missing, damaged, or of another agent.
    """
    states = read_nli_file(path)
    about = states["p2bot"]
    encoder = encoders.from_json(about["encoder"])
    network = PersonaNli(encoder, about["options"]["pairing"])
    load_weights(network, states, path)
    tokenizer = read_sentence_tokenizer(dict_file(path))
    check_tokenizer(states, path, tokenizer, dict_file(path))
    tokenizer.limit(min(about["text_truncate"], network.encoder.max_tokens))
    return NliJudge(network.eval().requires_grad_(False), tokenizer)
