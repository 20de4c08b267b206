"""Sentences to token ids, for the Receiver's encoders."""

import json
import os
from collections.abc import Iterable
from functools import lru_cache

from tokenizers import Tokenizer

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tokenizer import P2botTokenizer

# distinct sentences whose ids are remembered: profile sentences come up again and again, while
# what is said in self-play is new for ever
REMEMBERED = 20_000


class SentenceTokenizer:
    """
    The tokenizer of an encoder, with the special tokens that the encoder was trained with.

    Text never yields a special token: "[SEP]" typed by a user is encoded as characters.

    :param backend: a tokenizer of the tokenizers library.
    """

    def __init__(self, backend: Tokenizer):
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True
        self.backend = backend
        self._ids = lru_cache(maxsize=REMEMBERED)(self._encode)

    def __len__(self) -> int:
        """Size of the vocabulary, special tokens included."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    def limit(self, tokens: int) -> None:
        """Keep the beginning of sentences longer than this; special tokens are kept."""
        self.backend.enable_truncation(tokens)
        self._ids.cache_clear()

    def encode(self, sentence: str) -> tuple[int, ...]:
        """Token ids of a sentence, special tokens included."""
        return self._ids(sentence)

    def _encode(self, sentence: str) -> tuple[int, ...]:
        # a lone surrogate (a broken emoji) cannot be passed to the tokenizer
        sentence = sentence.encode("utf-8", "replace").decode("utf-8")
        return tuple(self.backend.encode(sentence).ids)

    def encode_pair(self, first: str, second: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """
        Two texts as one sequence, in the form that the encoder knows pairs in.

        :return: token ids, and for each the segment, 0 or 1, that it is of.
        """
        pair = [text.encode("utf-8", "replace").decode("utf-8") for text in (first, second)]
        found = self.backend.encode(*pair)
        return tuple(found.ids), tuple(found.type_ids)

    def to_json(self) -> dict:
        """Everything that `from_json` needs, as plain data."""
        return json.loads(self.backend.to_str())

    @classmethod
    def from_json(cls, data: dict) -> "SentenceTokenizer":
        """Rebuild from `to_json`; raises P2botError where the data is no tokenizer."""
        try:
            return cls(Tokenizer.from_str(json.dumps(data)))
        except Exception as error:  # the library raises bare Exception
            raise P2botError(f"the saved tokenizer cannot be read: {error}") from error

    @classmethod
    def from_pretrained(cls, path: str) -> "SentenceTokenizer":
        """
        The tokenizer of a Hugging Face encoder.

        :param path: hub name, or folder; tokenizer.json is read as it is where there is one.
        """
        file = os.path.join(path, "tokenizer.json")
        if os.path.isdir(path) and os.path.exists(file):
            try:
                return cls(Tokenizer.from_file(file))
            except Exception as error:  # the library raises bare Exception
                raise P2botError(f"{file} is no tokenizer: {error}") from error
        from p2bot_parlai.backbones.hub import fetch

        tokenizer = fetch(path, "AutoTokenizer")
        if not tokenizer.is_fast:
            raise P2botError(f"{path} has no tokenizer of the tokenizers library (tokenizer.json)")
        return cls(tokenizer.backend_tokenizer)

    @classmethod
    def train(cls, sentences: Iterable[str], vocab_size: int) -> "SentenceTokenizer":
        """A byte-level BPE tokenizer learnt from sentences: no character is unknown to it."""
        return cls(P2botTokenizer.train(sentences, vocab_size).backend)
