"""
``parlai export_hf``: export a trained model to a folder that Hugging Face's libraries load.

A Transmitter becomes a transformers causal language model, or where it has adapters PEFT's folder
of them, with tokenizer, chat template and generation settings; a Receiver becomes a
sentence-transformers bi-encoder. Weights are safetensors, and a model card says how the model was
trained.
"""

import json
from pathlib import Path

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError, UsageError


@register_script("export_hf")
class ExportHf(ParlaiScript):
    """Export a Transmitter (-mf) to a folder (--out) for transformers or PEFT, or a Receiver for
    sentence-transformers."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, True, "Export a trained model to Hugging Face format")
        group = parser.add_argument_group("Export")
        # not "required": without a command ParlAI parses the options of all of them
        group.add_argument(
            "--out",
            "--outfile",
            help="Output folder, new or empty",
        )
        group.add_argument(
            "--merge",
            type="bool",
            default=False,
            help="Of a model with adapters, write one language model instead of the adapters",
        )
        return parser

    def run(self) -> None:
        path, out = self.opt.get("model_file"), self.opt.get("out")
        if not path:
            raise UsageError("name a model with -mf MODEL, trained with -m p2bot or p2bot/receiver")
        if not out:
            raise UsageError("name an output folder with --out DIR")
        if not PathManager.exists(path):
            raise P2botError(f"there is no model at {path}")
        # imported here: every ``parlai`` command imports this file, and transformers takes seconds
        from p2bot_parlai.method.model_files import (
            load_perceiver,
            load_transmitter,
            read_model_file,
            read_tokenizer,
        )
        from p2bot_parlai.tools.export.card import receiver_card, transmitter_card
        from p2bot_parlai.tools.export.folder import new_folder
        from p2bot_parlai.tools.export.receiver import write_receiver
        from p2bot_parlai.tools.export.transmitter import write_transmitter

        with new_folder(out) as folder:
            saved = read_model_file(path)["p2bot"]
            opt = {**_trained_with(path), **saved["options"]}
            if saved.get("kind") == "receiver":
                perceiver = load_perceiver(path)
                limit = min(saved["text_truncate"], perceiver.network.impression.max_tokens)
                write_receiver(perceiver, limit, folder)
                card = receiver_card(opt, path, perceiver.tau)
            else:
                tokenizer = read_tokenizer(f"{path}.dict")
                # decoding options may be overridden on the command line
                decoding = {**opt, **self.opt.get("override", {})}
                network, merge = load_transmitter(path, tokenizer), self.opt["merge"]
                base = None if merge else saved["backbone"].get("base")
                write_transmitter(network, tokenizer, decoding, saved, folder, merge)
                card = transmitter_card(opt, path, base)
            (folder / "README.md").write_text(card, encoding="utf-8")
        print(f"wrote {out}")


def _trained_with(path: str) -> dict:
    """The options of the training run."""
    try:
        return json.loads(Path(f"{path}.opt").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise P2botError(
            f"{path}.opt, the options of the model, cannot be read: {error}"
        ) from error
