"""Text to token ids: for a Transmitter, and for the sentence encoders of a Receiver."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Self

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context_style import APPEND, STYLES, ChatStyle, ContextStyle

# Word-level BPE of GPT splits "don't" into "don ' t"; this puts it together again.
_CONTRACTION = re.compile(r"(?<=\w) ' (?=(?:s|t|m|d|re|ve|ll)\b)")

# distinct sentences whose ids are cached: profile sentences recur, what is said in self-play
# does not
REMEMBERED = 20_000


class BaseTokenizer:
    """
    A tokenizer of the tokenizers library that can be saved in a ``.dict``.

    Text never yields a special token: "[CLS]" typed in a chat is encoded as characters.
    """

    FORMAT: ClassVar[str]  # the ``format`` of its ``.dict``

    def __init__(self, backend: Tokenizer):
        backend.encode_special_tokens = True
        backend.no_padding()
        backend.no_truncation()
        self.backend = backend

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.backend.encode_special_tokens = True  # which the library's pickles forget

    def __len__(self) -> int:
        """Size of the vocabulary, special tokens included."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    def fingerprint(self) -> str:
        """Tells one tokenizer from another."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Everything that `from_json` needs, as plain data: not where it truncates."""
        return {**json.loads(self.backend.to_str()), "truncation": None}

    @classmethod
    def from_json(cls, data: dict[str, Any], *style: ContextStyle[str]) -> Self:
        """
        Rebuild from `to_json`.

        :param style: of a `P2botTokenizer`, unless it is the default.
        :raises P2botError: if the data is not a tokenizer.
        """
        try:
            return cls(Tokenizer.from_str(json.dumps(data)), *style)
        except Exception as error:  # the library raises bare Exception
            raise P2botError(f"the saved tokenizer cannot be read: {error}") from error

    def contents(self) -> dict[str, Any]:
        """What a ``.dict`` holds."""
        return {"format": self.FORMAT, "tokenizer": self.to_json()}

    @classmethod
    def from_contents(cls, contents: dict[str, Any]) -> Self:
        return cls.from_json(contents["tokenizer"])

    @classmethod
    def from_pretrained(cls, name: str, *style: ContextStyle[str]) -> Self:
        """
        The tokenizer of a Hugging Face model.

        :param name: hub name, or a folder with tokenizer.json; for a Transmitter also one with
            vocab.json and merges.txt (GPT's word-level form with ``</w>``, or GPT-2's
            byte-level one).
        """
        return cls(cls._read_backend(name), *style)

    @classmethod
    def _read_backend(cls, name: str) -> Tokenizer:
        file = os.path.join(name, "tokenizer.json")
        if os.path.exists(file):
            try:
                return Tokenizer.from_file(file)
            except Exception as error:  # the library raises bare Exception
                raise P2botError(f"{file} is not a tokenizer: {error}") from error
        # transformers takes a second to import, which not every command needs
        from p2bot_parlai.method.backbones.hub import fetch

        tokenizer = fetch(name, "AutoTokenizer")
        if not tokenizer.is_fast:
            raise P2botError(f"{name} has no tokenizer of the tokenizers library (tokenizer.json)")
        return tokenizer.backend_tokenizer


class P2botTokenizer(BaseTokenizer):
    """
    A tokenizer with the special tokens of P²Bot's context.

    :param backend: any tokenizer of the tokenizers library; special tokens that it lacks are
        added.
    :param style: the form of context. ``marks`` is the same with token ids, which are
        attributes here too (``cls`` is None where the form has none).

    ``longest_context`` is what ``--text-truncate`` could be raised to, for error messages: tokens
    that the model has positions for; None: any number.
    """

    FORMAT = "p2bot-tokenizer-1"

    def __init__(self, backend: Tokenizer, style: ContextStyle[str] = APPEND):
        super().__init__(backend)
        if isinstance(style, ChatStyle):
            for token in (*style.special_tokens, style.self_):
                if backend.token_to_id(token) is None:
                    raise P2botError(
                        f"--context-style {style.name} is for instruct models of that form: this "
                        f"tokenizer has no {token}. Choose another --backbone or --context-style"
                    )
        backend.add_special_tokens([AddedToken(t, special=True) for t in style.special_tokens])
        self.longest_context: int | None = None
        self.style, self.marks = style, style.with_ids(backend.token_to_id, self.encode_markup)
        marks = self.marks
        self.pad, self.eos, self.cls = marks.pad, marks.eos, marks.cls
        self.persona_start, self.persona_end = marks.persona_start, marks.persona_end
        self.partner, self.self_ = marks.partner, marks.self_
        self.special_ids = frozenset(map(backend.token_to_id, style.special_tokens))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without any special token."""
        text = text.lower() if self.style.lower else text
        return self.backend.encode(_writable(text), add_special_tokens=False).ids

    def encode_words(self, words: Sequence[str]) -> list[list[int]]:
        """Token ids of a text word by word. A space that is a token is the end of a word."""
        text = " ".join(words)
        text = _writable(text.lower() if self.style.lower else text)
        found = self.backend.encode(text, add_special_tokens=False)
        ids: list[list[int]] = [[] for _ in words]
        for index, (_, end) in zip(found.ids, found.offsets, strict=True):
            ids[len(text[:end].split()) - 1].append(index)
        return ids

    def encode_markup(self, text: str) -> list[int]:
        """Token ids of a text in which special tokens count as such: never of people's text."""
        self.backend.encode_special_tokens = False
        try:
            return self.backend.encode(text, add_special_tokens=False).ids
        finally:
            self.backend.encode_special_tokens = True

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids up to the first end of a response, without special tokens."""
        words = self.marks.words(list(map(int, ids)))
        kept = [index for index in words if index not in self.special_ids]
        text = self.backend.decode(kept, skip_special_tokens=True)
        return _CONTRACTION.sub("'", text).strip()

    def contents(self) -> dict[str, Any]:
        style = {} if self.style is APPEND else {"context_style": self.style.name}
        return {**super().contents(), **style}

    @classmethod
    def from_contents(cls, contents: dict[str, Any]) -> Self:
        style = STYLES[contents.get("context_style", APPEND.name)]
        return cls.from_json(contents["tokenizer"], style)

    @classmethod
    def _read_backend(cls, name: str) -> Tokenizer:
        files = [os.path.join(name, file) for file in ("vocab.json", "merges.txt")]
        whole = os.path.join(name, "tokenizer.json")
        if not os.path.exists(whole) and all(map(os.path.exists, files)):
            return _backend_of_vocabulary(name, files[0])
        return super()._read_backend(name)

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int, style: ContextStyle[str] = APPEND
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


class SentenceTokenizer(BaseTokenizer):
    """The tokenizer of an encoder, with the special tokens that the encoder was trained with."""

    FORMAT = "p2bot-encoder-tokenizer-1"

    def __init__(self, backend: Tokenizer):
        super().__init__(backend)
        self._ids = lru_cache(maxsize=REMEMBERED)(self._encode)

    def __getstate__(self) -> dict[str, Any]:
        return {"backend": self.backend}  # a cache cannot be pickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._ids = lru_cache(maxsize=REMEMBERED)(self._encode)

    def limit(self, tokens: int) -> None:
        """Keep the beginning of sentences longer than this; special tokens are kept."""
        self.backend.enable_truncation(tokens)
        self._ids.cache_clear()

    def encode(self, sentence: str) -> tuple[int, ...]:
        """Token ids of a sentence, special tokens included."""
        return self._ids(sentence)

    def _encode(self, sentence: str) -> tuple[int, ...]:
        return tuple(self.backend.encode(_writable(sentence)).ids)

    def encode_pair(self, first: str, second: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """
        Two texts as one sequence, in the encoder's form for pairs.

        :return: token ids, and the segment, 0 or 1, of each.
        """
        found = self.backend.encode(_writable(first), _writable(second))
        return tuple(found.ids), tuple(found.type_ids)

    @classmethod
    def train(cls, sentences: Iterable[str], vocab_size: int) -> "SentenceTokenizer":
        """A byte-level BPE tokenizer learnt from sentences: no character is unknown to it."""
        return cls(P2botTokenizer.train(sentences, vocab_size).backend)


def _backend_of_vocabulary(folder: str, vocabulary: str) -> Tokenizer:
    try:
        with open(vocabulary, encoding="utf-8") as file:
            word_level = any(token.endswith("</w>") for token in json.load(file))
    except (OSError, ValueError) as error:
        raise P2botError(f"{vocabulary} is not a vocabulary: {error}") from error
    # named here, because a folder's config.json often does not say which it is
    from transformers import GPT2Tokenizer, OpenAIGPTTokenizer

    kind = OpenAIGPTTokenizer if word_level else GPT2Tokenizer
    return kind.from_pretrained(folder).backend_tokenizer


def _writable(text: str) -> str:
    """Without lone surrogates (half an emoji), which the tokenizers library refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")
