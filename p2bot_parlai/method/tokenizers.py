"""Text to token ids and back, with the special tokens of P²Bot's context.

Sentences to token ids, for the Receiver's encoders.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context_style import APPEND, ContextStyle

# Word-level BPE of GPT splits "don't" into "don ' t"; this puts it together again.
_CONTRACTION = re.compile(r"(?<=\w) ' (?=(?:s|t|m|d|re|ve|ll)\b)")


class P2botTokenizer:
    """
    A `tokenizers` tokenizer and the ids of P²Bot's special tokens.

    User text never yields a special token: "[CLS]" typed in a chat is encoded as the
    characters that it is.

    :param backend: any tokenizer of the tokenizers library; the special tokens that it
        lacks are added to it, once.
    :param style: the form of context, whose special tokens these are. ``cls`` and
        ``partner_end`` are None where it has none.
    """

    def __init__(self, backend: Tokenizer, style: ContextStyle = APPEND):
        backend.add_special_tokens([AddedToken(t, special=True) for t in style.special_tokens])
        backend.encode_special_tokens = True
        backend.no_padding()
        backend.no_truncation()
        self.backend, self.style = backend, style
        ids = {token: backend.token_to_id(token) for token in style.special_tokens}
        self.pad, self.eos = ids[style.pad], ids[style.eos]
        self.persona_start, self.persona_end = ids[style.persona_start], ids[style.persona_end]
        self.partner, self.self_ = ids[style.partner], ids[style.self_]
        self.partner_end = ids[style.partner_end] if style.partner_end else None
        self.cls = ids[style.cls] if style.cls else None
        self.special_ids = frozenset(ids.values())

    def __len__(self) -> int:
        """Size of the vocabulary, special tokens included."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without any special token."""
        # A lone surrogate (a broken emoji) cannot be passed to the tokenizer.
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = text.lower() if self.style.lower else text
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids up to the first end of a response; special tokens are left out."""
        kept = []
        for index in map(int, ids):
            if index == self.eos:
                break
            if index not in self.special_ids:
                kept.append(index)
        text = self.backend.decode(kept, skip_special_tokens=True)
        return _CONTRACTION.sub("'", text).strip()

    def to_json(self) -> dict:
        """Everything that `from_json` needs, as plain data."""
        return json.loads(self.backend.to_str())

    def fingerprint(self) -> str:
        """Tells one tokenizer from another."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_json(cls, data: dict, style: ContextStyle = APPEND) -> "P2botTokenizer":
        """Rebuild from `to_json`; raises P2botError where the data is no tokenizer."""
        try:
            return cls(Tokenizer.from_str(json.dumps(data)), style)
        except Exception as error:  # the library raises bare Exception
            raise P2botError(f"the saved tokenizer cannot be read: {error}") from error

    @classmethod
    def from_pretrained(cls, name: str, style: ContextStyle = APPEND) -> "P2botTokenizer":
        """
        The tokenizer of a Hugging Face model.

        :param name: hub name, or a folder with tokenizer.json, or with vocab.json and
            merges.txt (GPT's word-level form with ``</w>``, or GPT-2's byte-level one).
        """
        if os.path.isdir(name):
            return cls(_backend_from_folder(name), style)
        from p2bot_parlai.method.backbones.hub import fetch

        return cls(_hugging_face_backend(fetch(name, "AutoTokenizer"), name), style)

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int, style: ContextStyle = APPEND
    ) -> "P2botTokenizer":
        """
        A byte-level BPE tokenizer learnt from texts: no character is unknown to it.

        :param texts: the corpus, an utterance at a time.
        :param vocab_size: entries at most, special tokens included; a small corpus
            gives fewer.
        """
        backend = Tokenizer(models.BPE())
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        backend.decoder = decoders.ByteLevel()
        trainer = BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(style.special_tokens),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(map(str.lower, texts) if style.lower else texts, trainer)
        return cls(backend, style)


def _backend_from_folder(folder: str) -> Tokenizer:
    def path(name):
        return os.path.join(folder, name)

    if os.path.exists(path("tokenizer.json")):
        try:
            return Tokenizer.from_file(path("tokenizer.json"))
        except Exception as error:  # the library raises bare Exception
            raise P2botError(f"{path('tokenizer.json')} is no tokenizer: {error}") from error
    if os.path.exists(path("vocab.json")) and os.path.exists(path("merges.txt")):
        try:
            with open(path("vocab.json"), encoding="utf-8") as file:
                word_level = any(token.endswith("</w>") for token in json.load(file))
        except (OSError, ValueError) as error:
            raise P2botError(f"{path('vocab.json')} is no vocabulary: {error}") from error
        # named here, because a folder's config.json often does not say which it is
        from transformers import GPT2Tokenizer, OpenAIGPTTokenizer

        kind = OpenAIGPTTokenizer if word_level else GPT2Tokenizer
        return kind.from_pretrained(folder).backend_tokenizer
    from p2bot_parlai.method.backbones.hub import fetch

    try:
        tokenizer = fetch(folder, "AutoTokenizer")
    except P2botError as error:
        raise P2botError(
            f"no tokenizer in {folder}: it needs tokenizer.json, or vocab.json and merges.txt"
        ) from error
    return _hugging_face_backend(tokenizer, folder)


def _hugging_face_backend(tokenizer, name: str) -> Tokenizer:
    if not tokenizer.is_fast:
        raise P2botError(f"{name} has no tokenizer of the tokenizers library (tokenizer.json)")
    return tokenizer.backend_tokenizer


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
        from p2bot_parlai.method.backbones.hub import fetch

        tokenizer = fetch(path, "AutoTokenizer")
        if not tokenizer.is_fast:
            raise P2botError(f"{path} has no tokenizer of the tokenizers library (tokenizer.json)")
        return cls(tokenizer.backend_tokenizer)

    @classmethod
    def train(cls, sentences: Iterable[str], vocab_size: int) -> "SentenceTokenizer":
        """A byte-level BPE tokenizer learnt from sentences: no character is unknown to it."""
        return cls(P2botTokenizer.train(sentences, vocab_size).backend)
