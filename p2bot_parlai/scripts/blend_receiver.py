"""
``parlai blend_receiver``: average trained Receivers, interpolated with their initial weights.

Not in the paper. Fine-tuning on original personas makes an encoder forget paraphrases it knew
before, and revised personas are paraphrases. Interpolating between the pretrained and the
fine-tuned weights keeps both (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models"),
and so does averaging several runs from one start (also theirs, "Model soups").
"""

import shutil

import torch
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from torch import Tensor

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support.files import check_place, whole


def blend(trained: list[dict[str, Tensor]], start: dict[str, Tensor], share: float) -> dict:
    """
    start + share * (mean of trained - start), for each tensor.

    :param share: 0 gives the start, 1 the mean of the trained weights.
    """
    blended = {}
    for name, first in start.items():
        mean = torch.stack([weights[name].double() for weights in trained]).mean(dim=0)
        blended[name] = (first.double() + share * (mean - first.double())).to(first.dtype)
    return blended


def pretrained_weights(options: dict) -> dict[str, Tensor]:
    """The initial weights of a Receiver with these options."""
    # imported here: every ``parlai`` command imports this file, and transformers takes seconds
    from p2bot_parlai.method.backbones.encoder import SCRATCH, load_encoder
    from p2bot_parlai.method.receiver import Receiver

    if options["encoder"] == SCRATCH:
        raise UsageError(
            f"--encoder {SCRATCH} started from random weights: use --start to name the Receiver "
            "to blend with"
        )
    first = load_encoder(options["encoder"])
    return Receiver(first, first).state_dict()


def read_receiver(path: str) -> dict:
    from p2bot_parlai.method.model_files import read_receiver_file

    return read_receiver_file(path)


def _shapes(weights: dict[str, Tensor]) -> dict:
    return {name: tensor.shape for name, tensor in weights.items()}


@register_script("blend_receiver")
class BlendReceiver(ParlaiScript):
    """Average trained Receivers and interpolate with the weights they started from."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(
            True, False, "Average trained Receivers and interpolate with their initial weights"
        )
        group = parser.add_argument_group("Blend")
        # not "required": without a command ParlAI parses the options of all of them
        group.add_argument("--models", help="Trained Receivers, separated by commas")
        group.add_argument(
            "--start",
            help="Receiver that they started from (--init-model); default: the pretrained encoder",
        )
        group.add_argument(
            "--share",
            type=float,
            default=0.5,
            help="Interpolation weight: 0 gives the initial weights, 1 the trained ones",
        )
        group.add_argument(
            "--tau",
            type=float,
            help="Temperature (Eq. 13) of the resulting Receiver; default: that of the first model",
        )
        group.add_argument("--outfile", "--out", help="Model file to write")
        return parser

    def run(self):
        opt = self.opt
        for name in ("models", "outfile"):
            if not opt[name]:
                raise UsageError(f"--{name} is missing; see parlai blend_receiver --help")
        if not 0 <= opt["share"] <= 1:
            raise UsageError(f"--share {opt['share']} is not between 0 and 1")
        if opt["tau"] is not None and opt["tau"] <= 0:
            raise UsageError(f"--tau {opt['tau']} is not above 0")
        out = opt["outfile"]
        check_place(out, "--outfile")
        paths = opt["models"].split(",")
        trained = [read_receiver(path) for path in paths]
        saved = trained[0]["p2bot"] | ({} if opt["tau"] is None else {"tau": opt["tau"]})
        saved["calibration"] = ()  # other weights: parlai calibrate_receiver measures it
        named = dict(zip(paths, trained, strict=True))
        if opt["start"]:
            named[opt["start"]] = read_receiver(opt["start"])
            start = named[opt["start"]]["model"]
        else:
            start = pretrained_weights(saved["options"])
        for path, states in named.items():
            for what, one, other in (
                ("shape", _shapes(states["model"]), _shapes(start)),
                ("tokenizer", states["p2bot"]["tokenizer"], saved["tokenizer"]),
            ):
                if one != other:
                    raise P2botError(
                        f"{path} has another {what} than what it is to be blended with"
                    )
        weights = blend([states["model"] for states in trained], start, opt["share"])
        with whole(out) as temporary:
            torch.save({"model": weights, "p2bot": saved}, temporary)
            for ending in (".dict", ".opt"):
                shutil.copyfile(paths[0] + ending, out + ending)
        print(f"wrote {out}")
