"""SentenceTokenizer in the clothes of a ParlAI dictionary."""

import json

from parlai.core.dict import DictionaryAgent
from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.encoder import SCRATCH, encoder_path
from p2bot_parlai.method.model_files import SENTENCE_TOKENIZER_FORMAT, read_sentence_tokenizer
from p2bot_parlai.method.tokenizers import SentenceTokenizer
from p2bot_parlai.parlai_support import files


class EncoderDictionary(DictionaryAgent):
    """
    The tokenizer of ``--encoder``, or one learnt from the task for ``--encoder scratch``.

    Saved as one JSON file beside the model, so that the model loads without network.
    """

    def __init__(self, opt: Opt, shared=None):
        self.opt = opt
        self.tokenizer = "p2bot"  # the name that ParlAI asks for, not the object
        self.minfreq = self.maxtokens = -1
        self.null_token = self.start_token = self.end_token = self.unk_token = "[PAD]"
        self.sentences: SentenceTokenizer | None = None
        self.texts: list[str] = []
        path = opt.get("dict_file")
        if shared:
            self.sentences = shared["sentences"]
        elif path and PathManager.exists(path):
            self.sentences = read_sentence_tokenizer(path)
        elif opt["encoder"] != SCRATCH:
            self.sentences = SentenceTokenizer.from_pretrained(encoder_path(opt["encoder"]))

    def __len__(self) -> int:
        return len(self.sentences) if self.sentences else 0

    def __getitem__(self, key):
        """ParlAI asks for its special tokens; the encoder pads by mask, with any id."""
        return 0

    def is_prebuilt(self) -> bool:
        """Whether nothing has to be learnt from the task's text."""
        return self.sentences is not None

    def check_learnt(self) -> None:
        """:raises P2botError: where there is no tokenizer yet."""
        if self.sentences is None:
            raise P2botError(
                f"--encoder {SCRATCH} learns its tokenizer from the task, and there is "
                "none yet: train it first, with parlai train_model and a --model-file"
            )

    def txt2vec(self, text: str, vec_type=list):
        return vec_type(self.sentences.encode(text))

    def vec2txt(self, vector, delimiter=" ") -> str:
        return self.sentences.backend.decode(list(map(int, vector)))

    def act(self):
        """Collect the text of one example, for a tokenizer to be learnt from."""
        for text in (self.observation.get("text"), *(self.observation.get("labels") or ())):
            self.texts += (text or "").split("\n")
        return {"id": "Dictionary"}

    def save(self, filename=None, append=False, sort=True):
        """Write the tokenizer, learnt from the collected text where it is not there yet."""
        if self.sentences is None:
            self.sentences = SentenceTokenizer.train(self.texts, self.opt["vocab_size"])
            self.texts = []
        filename = filename or self.opt["dict_file"]
        files.make_folder(filename)
        with files.whole(filename) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(
                {"format": SENTENCE_TOKENIZER_FORMAT, "tokenizer": self.sentences.to_json()}, file
            )

    def load(self, filename: str) -> None:
        self.sentences = read_sentence_tokenizer(filename)

    def share(self):
        return {"opt": self.opt, "class": type(self), "sentences": self.sentences}
