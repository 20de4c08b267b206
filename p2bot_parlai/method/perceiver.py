"""
From texts to scores: a Receiver with its tokenizer, each distinct sentence encoded once; and
word dropout in its training.

Word dropout is not in the paper. PersonaChat's original profile sentences share rare words
with what their owners say, its revised ones do not: a Receiver that is trained on original
ones alone learns to look for shared words.
"""

import random
from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor, nn

from p2bot_parlai.method import receiver
from p2bot_parlai.method.receiver import Receiver
from p2bot_parlai.method.spelling import CorpusSpelling, read
from p2bot_parlai.method.tokenizers import SentenceTokenizer

# sentence vectors to cache; beyond that the cache is emptied (self-play makes new sentences
# all the time). Enough for all utterances and profile sentences of ConvAI2's valid fold
REMEMBERED_VECTORS = 20_000

Utterances = Sequence[str]
Persona = Sequence[str]


class WordDropout:
    """
    Drops words from the sentences of one batch.

    :param special: ids that are never dropped ([CLS], [SEP]).
    :param share: probability of dropping each token of a sentence, independently.
    :param one_sided: probability of dropping a word from all utterances or, just as likely,
        from all profile sentences of the batch: no pair of them has it in common. Drawn
        for each batch.
    """

    def __init__(self, special: Collection[int], share: float = 0.0, one_sided: float = 0.0):
        self.special, self.share, self.one_sided = special, share, one_sided
        self._sides: dict[int, str] = {}

    def __call__(self, ids: Iterable[int], side: str) -> tuple[int, ...]:
        """The kept ids of a sentence. :param side: "utterance" or "profile"."""
        ids = tuple(ids)
        kept = [i for i in ids if i in self.special or not self._dropped(i, side)]
        # a sentence that would lose all its words is kept whole
        return tuple(kept) if any(i not in self.special for i in kept) else ids

    def _dropped(self, token: int, side: str) -> bool:
        if self.one_sided and self._side(token) == side:
            return True
        return self.share > 0 and random.random() < self.share

    def _side(self, token: int) -> str:
        if token not in self._sides:
            gone = random.random() < self.one_sided
            self._sides[token] = random.choice(("utterance", "profile")) if gone else "neither"
        return self._sides[token]


class Perceiver:
    """
    Scores of dialogues against personas, both as text.

    In evaluation the vectors of sentences are cached until `forget`, which must be called
    when the weights change. All clones of an agent share one.

    :param network: the Receiver.
    :param tau: temperature of `aggregate`.
    :param spelling: of the corpus that it learnt from, for `typed`.
    :param calibration: slope and offset of `receiver.revealed`; empty until they are measured.
    """

    def __init__(
        self,
        network: Receiver,
        tokenizer: SentenceTokenizer,
        tau: float,
        spelling: CorpusSpelling | None = None,
        calibration: Sequence[float] = (),
    ):
        self.network = network
        self.tokenizer = tokenizer
        self.tau = tau
        self.calibration = calibration
        self.spelling = spelling or CorpusSpelling()
        self._vectors: dict[str, dict[str, Tensor]] = {}
        self.forget()

    def forget(self) -> None:
        """Empty the cache, and what `calibrated` is measured on: the weights have changed."""
        self._vectors = {"impression": {}, "persona": {}}
        self._seen: tuple[list[Tensor], list[Tensor]] = ([], [])

    def typed(
        self, utterances: Sequence[str], sentences: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """What people typed, in the corpus' spelling; the other methods read texts as they are."""
        speech, profile = self.spelling.speech, self.spelling.profile
        return [read(u, speech) for u in utterances], [read(s, profile) for s in sentences]

    @torch.no_grad()
    def impressions(self, utterances: Sequence[str]) -> Tensor:
        """H: (S, d), one row per utterance, in evaluation mode."""
        return self._remembered("impression", self.network.impression, utterances)

    @torch.no_grad()
    def profiles(self, sentences: Sequence[str]) -> Tensor:
        """W: (K, d), one row per profile sentence, in evaluation mode."""
        return self._remembered("persona", self.network.persona, sentences)

    def relevance(self, utterances: Utterances, persona: Persona) -> Tensor:
        """Figure 6: U (N, L), Eq. 11."""
        return receiver.relevance(self.impressions(utterances), self.profiles(persona))

    def see(self, utterances: Utterances, own: Persona, others: Persona) -> None:
        """
        Remember, to calibrate, how relevant what somebody said was to each sentence of their own
        profile and of others': U of the most relevant utterance.
        """
        if utterances:
            for side, sentences in zip(self._seen, (own, others), strict=True):
                side.append(self.relevance(utterances, sentences).amax(dim=0).cpu())

    def calibrated(self) -> Sequence[float]:
        """
        The calibration, measured on what was seen since the weights changed.

        Without that it is the one before; empty where nothing was ever seen.
        """
        own, others = self._seen
        if own:
            self.calibration = receiver.calibrate(torch.cat(own), torch.cat(others))
        return self.calibration

    def probability(self, utterances: Utterances, persona: Persona) -> Tensor:
        """
        How probably each utterance reveals each profile sentence: (N, L).

        An utterance without words reveals nothing. The Receiver must be calibrated.
        """
        found = receiver.revealed(self.relevance(utterances, persona), *self.calibration)
        return found * torch.tensor([[bool(u.strip())] for u in utterances], device=found.device)

    def score(self, utterances: Sequence[str], personas: Sequence[Persona]) -> Tensor:
        """
        Eq. 15 for many utterances, each with a persona of its own: (B,).

        An utterance without words or a persona without sentences has the score 0.
        """
        index, distinct = _rows(personas)
        W = self.profiles(distinct)
        if not len(W):
            return torch.zeros(len(utterances))
        rows = _padded([[index[s] for s in persona] for persona in personas]).to(W.device)
        spoken = torch.tensor([bool(u.strip()) for u in utterances], device=W.device)
        h = self.impressions(utterances)
        mask = (rows >= 0) & spoken[:, None]
        return receiver.score(h, W[rows.clamp(min=0)], mask, self.tau)

    @torch.no_grad()
    def cumulative(
        self, dialogues: Sequence[Utterances], candidates: Sequence[Sequence[Persona]]
    ) -> list[Tensor]:
        """Eq. 14: the scores of each dialogue's candidate personas; (C,) tensors."""
        H, spoken = self._dialogues(dialogues)
        index, distinct = _rows([persona for personas in candidates for persona in personas])
        W = self.profiles(distinct)
        if not len(W):
            return [torch.zeros(len(personas)) for personas in candidates]
        table = _candidate_table(candidates, index).to(W.device)
        c, _, _ = receiver.profile_scores(H, spoken, W, table, self.tau)
        return [row[: len(personas)] for row, personas in zip(c, candidates, strict=True)]

    @torch.no_grad()
    def sentence_relevance(self, dialogues: Sequence[Utterances], sentences: Persona) -> Tensor:
        """
        How strongly each dialogue reveals each of many profile sentences: (B, K).

        The paper ranks sentences without saying by what. Here it is Agg (Eq. 13) over the
        utterances, with the tau of the model: those most relevant to a sentence count.
        """
        H, spoken = self._dialogues(dialogues)
        W = self.profiles(sentences)
        U = receiver.relevance(W.expand(len(dialogues), *W.shape), H)  # (B, K, N)
        return receiver.aggregate(U, spoken[:, None, :], self.tau)

    def training_scores(
        self,
        model: nn.Module,
        dialogues: Sequence[Utterances],
        candidates: Sequence[Sequence[Persona]],
        dropout: WordDropout | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        c (B, C), U (B, C, N, L) and its mask, with gradients; see `profile_scores`.

        :param model: the network, or its data-parallel wrapper: called once.
        :param dropout: drops words from the sentences.
        """
        utterance_rows, utterances = _rows(dialogues)
        sentence_rows, sentences = _rows([p for personas in candidates for p in personas])
        said = [self.tokenizer.encode(u) for u in utterances]
        profiles = [self.tokenizer.encode(s) for s in sentences]
        if dropout:
            said = [dropout(ids, "utterance") for ids in said]
            profiles = [dropout(ids, "profile") for ids in profiles]
        H, W = model(said, profiles)
        rows = _padded([[utterance_rows[u] for u in d] for d in dialogues]).to(H.device)
        table = _candidate_table(candidates, sentence_rows).to(H.device)
        return receiver.profile_scores(H[rows.clamp(min=0)], rows >= 0, W, table, self.tau)

    def _dialogues(self, dialogues: Sequence[Utterances]) -> tuple[Tensor, Tensor]:
        """H (B, N, d) and which utterances are real, bool (B, N)."""
        index, distinct = _rows(dialogues)
        vectors = self.impressions(distinct)
        rows = _padded([[index[u] for u in d] for d in dialogues]).to(vectors.device)
        if not len(vectors):
            return vectors.new_zeros(*rows.shape, self.network.width), rows >= 0
        return vectors[rows.clamp(min=0)], rows >= 0

    def _remembered(self, kind: str, encoder: nn.Module, texts: Sequence[str]) -> Tensor:
        known = self._vectors[kind]
        if len(known) + len(texts) > REMEMBERED_VECTORS:
            known.clear()
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            was_training = encoder.training
            encoder.eval()
            vectors = encoder([self.tokenizer.encode(text) for text in new])
            encoder.train(was_training)
            known.update(zip(new, vectors, strict=True))
        if not texts:
            return next(encoder.parameters()).new_zeros(0, self.network.width)
        return torch.stack([known[text] for text in texts])


def _rows(groups: Sequence[Sequence[str]]) -> tuple[dict[str, int], list[str]]:
    """The index of each distinct text of all groups, and those texts."""
    distinct = list(dict.fromkeys(text for group in groups for text in group))
    return {text: row for row, text in enumerate(distinct)}, distinct


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Lists of unequal length as one tensor, padded with -1; at least one column."""
    width = max([1, *map(len, rows)])
    padded = [[*row, *[-1] * (width - len(row))] for row in rows]
    return torch.tensor(padded, dtype=torch.long).view(len(rows), width)


def _candidate_table(candidates: Sequence[Sequence[Persona]], index: dict[str, int]) -> Tensor:
    """int (B, C, L): the rows of each candidate's sentences; -1 pads."""
    most = max([1, *map(len, candidates)])
    longest = max([1, *(len(persona) for personas in candidates for persona in personas)])
    table = torch.full((len(candidates), most, longest), -1)
    flat = _padded([[index[s] for s in p] for personas in candidates for p in personas] or [[]])
    start = 0
    for row, personas in enumerate(candidates):
        table[row, : len(personas), : flat.shape[1]] = flat[start : start + len(personas)]
        start += len(personas)
    return table
