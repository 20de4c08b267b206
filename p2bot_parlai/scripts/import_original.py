"""
``parlai import_original``: convert models of the paper's released code to our format.

The files are pickles. They are read without running code in them; anything but plain data and
weights is refused. docs/method.md lists what was assumed about them.
"""

import os

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.context_style import ORIGINAL
from p2bot_parlai.method.tokenizers import P2botTokenizer, SentenceTokenizer
from p2bot_parlai.parlai_support.files import check_place
from p2bot_parlai.tools.original.reading import Weights, read_weights


@register_script("import_original")
class ImportOriginal(ParlaiScript):
    """Convert models of the paper's released code (--transmitter, --receiver) to our format
    (--outfile DIR)."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(
            True, False, "Convert models of the paper's released code, without running code in them"
        )
        group = parser.add_argument_group("Import")
        # not "required": without a command ParlAI parses the options of all of them
        group.add_argument(
            "--transmitter",
            help="Released Transmitter, before or after self-play (psqaure_original.model)",
        )
        group.add_argument("--receiver", help="Released Receiver")
        group.add_argument(
            "--outfile",
            "--out",
            help="Output folder; the models in it are named transmitter and receiver",
        )
        group.add_argument(
            "--tokenizer",
            default="openai-gpt",
            help="GPT's vocabulary: hub name, or folder with vocab.json and merges.txt",
        )
        group.add_argument(
            "--encoder-tokenizer",
            default="bert-base-uncased",
            help="BERT's vocabulary, for --receiver: hub name, or folder with tokenizer.json",
        )
        group.add_argument(
            "--head-size",
            type=int,
            default=64,
            help="Width of an attention head, which the file does not record: 64 in GPT and BERT",
        )
        return parser

    def run(self) -> None:
        opt = self.opt
        out, size = opt.get("outfile"), opt["head_size"]
        if not opt.get("transmitter") and not opt.get("receiver"):
            raise UsageError(
                "name the files to convert: --transmitter FILE, --receiver FILE, or both"
            )
        if not out:
            raise UsageError("name an output folder with --outfile DIR")
        check_place(os.path.join(out, "transmitter"), "--outfile")
        # imported here: every ``parlai`` command imports this file, and transformers takes seconds
        from p2bot_parlai.method.backbones import backbone_path
        from p2bot_parlai.tools.original.receiver import to_receiver, without_separator
        from p2bot_parlai.tools.original.transmitter import to_transmitter
        from p2bot_parlai.tools.original.writing import write_receiver, write_transmitter

        models = []  # read all before writing any
        if opt.get("transmitter"):
            tokens = P2botTokenizer.from_pretrained(backbone_path(opt["tokenizer"]), ORIGINAL)
            weights = _weights(opt["transmitter"], "--transmitter")
            network = to_transmitter(weights, tokens, size)
            models.append(("transmitter", write_transmitter, network, tokens))
        if opt.get("receiver"):
            sentences = SentenceTokenizer.from_pretrained(opt["encoder_tokenizer"])
            sentences = without_separator(sentences)
            weights = _weights(opt["receiver"], "--receiver")
            network = to_receiver(weights, sentences, size)
            models.append(("receiver", write_receiver, network, sentences))
        for name, write, network, tokenizer in models:
            path = os.path.join(out, name)
            write(path, network, tokenizer, opt[name])
            print(f"wrote {path}")


def _weights(path: str, flag: str) -> Weights:
    return Weights(read_weights(path, flag), f"{flag} {path}")
