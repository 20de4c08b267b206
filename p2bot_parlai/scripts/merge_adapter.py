"""``parlai merge_adapter``: adapters and their backbone as one model with all weights."""

import shutil
from typing import Any

import torch
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support.files import check_place, whole


def merged(path: str, kind: str) -> tuple[Any, dict]:
    """A model without adapters, and what its file says of the network that had them."""
    from p2bot_parlai.method.model_files import load_perceiver, load_transmitter, read_tokenizer
    from p2bot_parlai.metrics.nli import load_judge

    network: Any
    if kind == "transmitter":
        network = load_transmitter(path, read_tokenizer(f"{path}.dict"))
        network.backbone = network.backbone.merged()
        return network, {"backbone": network.backbone.to_json()}
    if kind == "receiver":
        network = load_perceiver(path).network.merged()
        return network, {"encoder": network.impression.to_json()}
    network = load_judge(path).network
    network.encoder = network.encoder.merged()
    return network, {"encoder": network.encoder.to_json()}


@register_script("merge_adapter")
class MergeAdapter(ParlaiScript):
    """Put the adapters of a model into its backbone: one model file that needs no other."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, False, "Put the adapters of a model into its backbone")
        group = parser.add_argument_group("Merge")
        group.add_argument("-mf", "--model-file", help="Model trained with --adapter lora")
        group.add_argument("--outfile", "--out", help="Model file to write")
        return parser

    def run(self):
        for name in ("model_file", "outfile"):
            if not self.opt[name]:
                raise UsageError(
                    f"--{name.replace('_', '-')} is missing; see parlai merge_adapter --help"
                )
        path, out = self.opt["model_file"], self.opt["outfile"]
        check_place(out, "--outfile")
        # imported here: every ``parlai`` command imports this file, and transformers takes seconds
        from p2bot_parlai.method.model_files import read_model_file

        about = read_model_file(path)["p2bot"]
        if about["options"].get("adapter", "none") == "none":
            raise UsageError(f"--model-file {path} has no adapters: it is one model already")
        network, below = merged(path, about.get("kind", "transmitter"))
        about |= below
        about["options"] |= {"adapter": "none"}
        opt = Opt.load(f"{path}.opt")
        with whole(out) as temporary:
            torch.save({"model": network.state_dict(), "p2bot": about}, temporary)
            shutil.copyfile(f"{path}.dict", f"{out}.dict")
            Opt({**opt, "adapter": "none", "base_dtype": "none", "model_file": out}).save(
                f"{out}.opt"
            )
        print(f"wrote {out}")
