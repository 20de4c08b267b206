"""Our tokenizers as ParlAI dictionaries."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from parlai.core.dict import DictionaryAgent
from parlai.core.opt import Opt
from parlai.utils.distributed import is_distributed
from parlai.utils.io import PathManager

from p2bot_parlai.agents.checkpoint import dict_of, start_of
from p2bot_parlai.agents.options.folders import folder_in
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.backbones import backbone_path
from p2bot_parlai.method.backbones.names import UNTRAINED
from p2bot_parlai.method.context import parse_message
from p2bot_parlai.method.context_style import APPEND, STYLES
from p2bot_parlai.method.model_files import read_tokenizer
from p2bot_parlai.method.tokenizers import BaseTokenizer, P2botTokenizer
from p2bot_parlai.method.words import tokens
from p2bot_parlai.parlai_support import files

# distinct utterances whose ids are cached: candidates recur
REMEMBERED_TEXTS = 20_000


class TokenizerDictionary(DictionaryAgent):
    """
    The tokenizer of what the run starts from: a saved model's ``.dict``, or that of pretrained
    weights. Without either it is read from ``--dict-file`` or learnt from the task.

    Saved as one JSON file beside the model, so that the model loads offline. Subclasses define
    `load` (read it), `find` (use that of pretrained weights, where the options name some),
    `texts_of` (what to learn from an observation) and `learn` (from the collected ``texts``).
    """

    def __init__(self, opt: Opt, shared=None):
        self.opt = opt
        self.tokenizer = "p2bot"  # the name that ParlAI asks for, not the object
        self.minfreq = self.maxtokens = -1
        self.texts: list[str] = []
        self.p2bot = None  # until `learn`, where there is no tokenizer yet
        if shared:
            self.use(shared["p2bot_tokenizer"])
            return
        start, path = start_of(opt)[0], opt.get("dict_file")
        if start:
            self.load(dict_of(opt, start))
            return
        self.find()
        if self.p2bot is None and path and PathManager.exists(path):
            self.load(path)
        elif self.p2bot is None and is_distributed():
            raise UsageError(
                "several processes cannot learn a tokenizer together: make the .dict first with "
                "train_model --max-train-steps 1"
            )

    def use(self, tokenizer) -> None:
        self.p2bot = tokenizer

    def __getstate__(self) -> dict[str, Any]:
        """Without what `use` makes of the tokenizer and pickle refuses."""
        return {name: v for name, v in vars(self).items() if name not in ("_ids", "freq")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.p2bot is not None:
            self.use(self.p2bot)

    def __len__(self) -> int:
        return len(self.p2bot) if self.p2bot else 0

    def is_prebuilt(self) -> bool:
        """Whether there is already a tokenizer."""
        return self.p2bot is not None

    def act(self):
        """Collect the texts of one example."""
        self.texts += self.texts_of(self.observation)
        return {"id": "Dictionary"}

    def save(self, filename=None, append=False, sort=True):
        """Write the tokenizer, learning it from the collected texts if necessary."""
        if self.p2bot is None:
            self.learn()
            self.texts = []
        filename = filename or self.opt["dict_file"]
        files.make_folder(filename)
        write_tokenizer(self.p2bot, filename, **self.beside())

    def beside(self) -> dict[str, Any]:
        """Further entries of the file."""
        return {}

    def share(self):
        return {"opt": self.opt, "class": type(self), "p2bot_tokenizer": self.p2bot}


class P2botDictionary(TokenizerDictionary):
    """The tokenizer of ``--backbone`` or of ``--tokenizer``, or one learnt from the task."""

    def find(self) -> None:
        opt = self.opt
        self.style = STYLES[opt.get("context_style", APPEND.name)]
        if opt["backbone"] not in UNTRAINED:
            folder = folder_in(opt)  # of an adapter: with a tokenizer, or without
            if not folder or not os.path.exists(os.path.join(folder, "tokenizer.json")):
                folder = backbone_path(opt["backbone"])
            self.use(P2botTokenizer.from_pretrained(folder, self.style))
        elif opt.get("tokenizer"):
            if not os.path.isdir(opt["tokenizer"]):
                raise P2botError(f"--tokenizer {opt['tokenizer']}: there is no such folder")
            self.use(P2botTokenizer.from_pretrained(opt["tokenizer"], self.style))

    def use(self, tokenizer: P2botTokenizer) -> None:
        self.p2bot = tokenizer
        self.tok2ind = tokenizer.backend.get_vocab(with_added_tokens=True)
        self.ind2tok = {index: token for token, index in self.tok2ind.items()}
        self.freq = defaultdict(lambda: 1)
        style = tokenizer.style
        self.null_token, self.start_token, self.end_token = style.pad, style.self_, style.eos
        self.unk_token = style.pad
        self._unk_token_idx = tokenizer.pad
        self._ids = lru_cache(maxsize=REMEMBERED_TEXTS)(lambda text: tuple(tokenizer.encode(text)))

    def txt2vec(self, text: str, vec_type=list):
        return vec_type(self._ids(text))

    def vec2txt(self, vector, delimiter=" ") -> str:
        return self.p2bot.decode(vector)

    def texts_of(self, observation: dict[str, Any]) -> Iterator[str]:
        for turn in observation.get("dialogue") or [observation]:
            message = parse_message(turn.get("text") or "")
            yield from [*message.persona, *message.partner_persona, message.utterance or ""]
            yield from turn.get("labels") or []

    def learn(self) -> None:
        self.use(P2botTokenizer.train(self.texts, self.opt["vocab_size"], self.style))

    def words(self, response: Sequence[int] | None, label: str | None) -> int:
        """
        Words that the loss of a response covers, its end counted as one: the divisor of
        perplexity per word.

        :param response: the ids that the loss covers.
        """
        if response and len(response) <= len(self.txt2vec(label or "")):
            # cut by --label-truncate
            ended = self.p2bot.marks.words(response) != response
            return max(1, len(tokens(self.vec2txt(response))) + ended)
        return len(tokens(label or "")) + 1

    def load(self, filename: str) -> None:
        self.use(read_tokenizer(filename))
        wanted, found = self.opt.get("override", {}).get("context_style"), self.p2bot.style.name
        if wanted not in (None, found):
            raise UsageError(
                f"--context-style {wanted} contradicts {filename}, which was made with "
                f"--context-style {found}: drop the flag or choose another --model-file"
            )


def write_tokenizer(tokenizer: BaseTokenizer, filename: str, **more) -> None:
    """The ``.dict`` beside a model. :param more: further entries."""
    with files.whole(filename) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump({**tokenizer.contents(), **more}, file)
