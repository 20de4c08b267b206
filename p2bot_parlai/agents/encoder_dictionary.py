"""The tokenizer of a sentence encoder as a ParlAI dictionary."""

from collections.abc import Iterator
from typing import Any

from p2bot_parlai.agents.dictionary import TokenizerDictionary
from p2bot_parlai.method.backbones.encoder import SCRATCH, encoder_path
from p2bot_parlai.method.model_files import read_sentence_tokenizer
from p2bot_parlai.method.tokenizers import SentenceTokenizer


class EncoderDictionary(TokenizerDictionary):
    """The tokenizer of ``--encoder``, or one learnt from the task for ``--encoder scratch``."""

    null_token = start_token = end_token = unk_token = "[PAD]"

    def find(self) -> None:
        if self.opt["encoder"] != SCRATCH:
            self.use(SentenceTokenizer.from_pretrained(encoder_path(self.opt["encoder"])))

    def __getitem__(self, key):
        """ParlAI asks for its special tokens; the encoder pads by mask, with any id."""
        return 0

    def txt2vec(self, text: str, vec_type=list):
        return vec_type(self.p2bot.encode(text))

    def vec2txt(self, vector, delimiter=" ") -> str:
        return self.p2bot.backend.decode(list(map(int, vector)))

    def texts_of(self, observation: dict[str, Any]) -> Iterator[str]:
        for text in (observation.get("text"), *(observation.get("labels") or ())):
            yield from (text or "").split("\n")

    def learn(self) -> None:
        self.use(SentenceTokenizer.train(self.texts, self.opt["vocab_size"]))

    def load(self, filename: str) -> None:
        self.use(read_sentence_tokenizer(filename))
