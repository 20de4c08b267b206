"""The dictionary of the baselines: a tokenizer, and how often each token occurs in the corpus."""

from collections import Counter

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from p2bot_parlai.agents.dictionary import P2botDictionary
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.names import SCRATCH
from p2bot_parlai.parlai_support.files import parse_json


class CountedDictionary(P2botDictionary):
    """
    Learns the same byte-level BPE as ``--backbone scratch`` and counts its tokens.

    No word is unknown to it, so that perplexity per word compares with the Transmitter's: a model
    that may predict "unknown" has an easier task. ``counts[i]`` is how often token i occurs in
    the training texts.
    """

    counts: list[int] = []

    def __init__(self, opt: Opt, shared=None):
        super().__init__(Opt({**opt, "backbone": SCRATCH, "tokenizer": None}), shared)
        if shared:
            self.counts = shared["counts"]

    def learn(self) -> None:
        super().learn()
        found = Counter(token for text in self.texts for token in self.p2bot.encode(text))
        self.counts = [found[token] for token in range(len(self))]

    def beside(self) -> dict:
        return {**super().beside(), "counts": self.counts}

    def load(self, filename: str) -> None:
        super().load(filename)
        with PathManager.open(filename, "rb") as file:
            counts = parse_json(file.read()).get("counts")
        if not isinstance(counts, list) or len(counts) != len(self):
            raise P2botError(
                f"{filename} has no token counts, so it belongs to a Transmitter: give another "
                "--dict-file or --model-file"
            )
        self.counts = counts

    def share(self):
        return {**super().share(), "counts": self.counts}
