"""P2botTokenizer in the clothes of a ParlAI dictionary."""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from parlai.core.build_data import modelzoo_path
from parlai.core.dict import DictionaryAgent
from parlai.core.opt import Opt
from parlai.utils.distributed import is_distributed
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.backbones import backbone_path
from p2bot_parlai.method.backbones.names import UNTRAINED
from p2bot_parlai.method.context import parse_message
from p2bot_parlai.method.context_style import APPEND, STYLES
from p2bot_parlai.method.model_files import TOKENIZER_FORMAT, read_tokenizer
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.parlai_support import files

# distinct utterances whose ids are remembered: candidates come up again and again
REMEMBERED_TEXTS = 20_000


class P2botDictionary(DictionaryAgent):
    """
    The tokenizer of the backbone, or of ``--tokenizer``, or one learnt from the task.

    Saved as one JSON file beside the model, so that the model loads without network.
    """

    def __init__(self, opt: Opt, shared=None):
        self.opt = opt
        self.tokenizer = "p2bot"  # the name that ParlAI asks for, not the object
        self.minfreq = self.maxtokens = -1
        self.texts: list[str] = []
        if shared:
            self._use(shared["p2bot_tokenizer"])
            return
        # the .opt of an older version has no style
        self.style = STYLES[opt.get("context_style", APPEND.name)]
        path, start = opt.get("dict_file"), opt.get("init_model")
        # weights mean nothing with another tokenizer than they were trained with
        start = start and modelzoo_path(opt.get("datapath"), start) + ".dict"
        if path and PathManager.exists(path):
            self.load(path)
        elif start and PathManager.exists(start):
            self.load(start)
        elif opt["backbone"] not in UNTRAINED:
            self._use(P2botTokenizer.from_pretrained(backbone_path(opt["backbone"]), self.style))
        elif opt.get("tokenizer"):
            if not os.path.isdir(opt["tokenizer"]):
                raise P2botError(f"--tokenizer {opt['tokenizer']}: there is no such folder")
            self._use(P2botTokenizer.from_pretrained(opt["tokenizer"], self.style))
        elif is_distributed():
            raise UsageError(
                "several processes cannot learn a tokenizer together: give --tokenizer FOLDER, or "
                "make the .dict first with train_model --max-train-steps 1"
            )
        else:
            self.p2bot = None  # to be learnt; see act() and save()

    def _use(self, tokenizer: P2botTokenizer) -> None:
        self.p2bot = tokenizer
        self.tok2ind = tokenizer.backend.get_vocab(with_added_tokens=True)
        self.ind2tok = {index: token for token, index in self.tok2ind.items()}
        self.freq = defaultdict(lambda: 1)
        style = tokenizer.style
        self.null_token, self.start_token, self.end_token = style.pad, style.self_, style.eos
        self.unk_token = style.pad
        self._unk_token_idx = tokenizer.pad
        self._ids = lru_cache(maxsize=REMEMBERED_TEXTS)(lambda text: tuple(tokenizer.encode(text)))

    def __len__(self) -> int:
        return len(self.p2bot) if self.p2bot else 0

    def is_prebuilt(self) -> bool:
        """Whether nothing has to be learnt from the task's text."""
        return self.p2bot is not None

    def txt2vec(self, text: str, vec_type=list):
        return vec_type(self._ids(text))

    def vec2txt(self, vector, delimiter=" ") -> str:
        return self.p2bot.decode(vector)

    def act(self):
        """Collect the text of one example, for a tokenizer to be learnt from."""
        for turn in self.observation.get("dialogue") or [self.observation]:
            message = parse_message(turn.get("text") or "")
            self.texts += message.persona + message.partner_persona + [message.utterance or ""]
            self.texts += turn.get("labels") or []
        return {"id": "Dictionary"}

    def learn(self) -> None:
        """Learn the tokenizer from the collected text."""
        self._use(P2botTokenizer.train(self.texts, self.opt["vocab_size"], self.style))

    def save(self, filename=None, append=False, sort=True):
        """Write the tokenizer, learnt from the collected text where it is not there yet."""
        if self.p2bot is None:
            self.learn()
            self.texts = []
        filename = filename or self.opt["dict_file"]
        files.make_folder(filename)
        write_tokenizer(self.p2bot, filename, **self.beside())

    def beside(self) -> dict:
        """What the file holds beside the tokenizer."""
        return {}

    def words(self, response: Sequence[int] | None, label: str | None) -> int:
        """
        Words that the loss of a response is over, its end counted as one: what perplexity a
        word divides by.

        :param response: ids, as many as the loss is over.
        """
        if response and len(response) <= len(self.txt2vec(label or "")):
            # cut by --label-truncate
            ended = response[-1] == self.p2bot.eos
            return max(1, len(self.vec2txt(response).split()) + ended)
        return len((label or "").split()) + 1

    def load(self, filename: str) -> None:
        self._use(read_tokenizer(filename))
        wanted, found = self.opt.get("override", {}).get("context_style"), self.p2bot.style.name
        if wanted not in (None, found):
            raise UsageError(
                f"--context-style {wanted} contradicts {filename}, which was made with "
                f"--context-style {found}: drop the flag or choose another --model-file"
            )

    def share(self):
        shared = {"opt": self.opt, "class": type(self)}
        shared["p2bot_tokenizer"] = self.p2bot
        return shared


def write_tokenizer(tokenizer: P2botTokenizer, filename: str, **more) -> None:
    """The ``.dict`` beside a model. :param more: what it holds besides."""
    data = {"format": TOKENIZER_FORMAT, "tokenizer": tokenizer.to_json(), **more}
    if tokenizer.style is not APPEND:
        data["context_style"] = tokenizer.style.name
    with files.whole(filename) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(data, file)
