"""
``parlai blend_receiver``: average trained Receivers, interpolated with their initial weights.

Not in the paper. Fine-tuning on original personas makes an encoder forget paraphrases it knew
before, and revised personas are paraphrases. Interpolating between the pretrained and the
fine-tuned weights keeps both (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models"),
and so does averaging several runs from one start (also theirs, "Model soups").

Adapters are blended as they are: the pretrained weights are the adapter times 0.
"""

import shutil

import torch
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from torch import Tensor

from p2bot_parlai import __version__
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


def blend_adapters(models: list[tuple[float, dict]]) -> tuple[dict[str, Tensor], int]:
    """
    sum_i share_i (alpha_i / r_i) B_i A_i, as one adapter B A of rank sum_i r_i and the same alpha.

    :param models: share and states of Receivers; what is left to 1 is the pretrained encoder's.
    :return: the weights, and the rank.
    """
    shapes = [states["p2bot"]["encoder"]["adapters"][0] for _, states in models]
    blended: dict[str, Tensor] = {}
    known: dict[int, Tensor] = {}  # a shared encoder has two names
    for name, first in models[0][1]["model"].items():
        parts = [states["model"][name].float() for _, states in models]
        if name.endswith("lora_B"):
            parts = [
                share * shape["alpha"] / shape["rank"] * part
                for (share, _), shape, part in zip(models, shapes, parts, strict=True)
            ]
        joined = torch.cat(parts, dim=int(name.endswith("lora_B"))).bfloat16()
        blended[name] = known.setdefault(first.data_ptr(), joined)
    return blended, sum(shape["rank"] for shape in shapes)


def _is_shared(about: dict) -> bool:
    return about["options"].get("share_encoders", False)


def _adapted_layers(states: dict) -> tuple:
    """Base and layers of a Receiver's adapters."""
    return states["p2bot"]["encoder"].get("base"), set(states["model"])


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
        first = [read_receiver(opt["start"])] if opt["start"] else []
        read = [*trained, *first]
        adapted = saved["options"].get("adapter") == "lora"
        if not adapted:
            start = first[0]["model"] if first else pretrained_weights(saved["options"])
        for path, states in zip([*paths, opt["start"]], read, strict=False):
            about = states["p2bot"]
            alike = [("tokenizer", about["tokenizer"], saved["tokenizer"])]
            alike.append(("--share-encoders", *map(_is_shared, (about, saved))))
            if adapted:
                alike.append(("adapter", _adapted_layers(states), _adapted_layers(trained[0])))
            else:
                alike.append(("shape", _shapes(states["model"]), _shapes(start)))
            for what, one, other in alike:
                if one != other:
                    raise P2botError(
                        f"{path} has another {what} than what it is to be blended with"
                    )
        made_by = [states["p2bot"].get("provenance", {}) for states in read]
        saved["provenance"] = {"version": __version__, "share": opt["share"], "blend_of": made_by}
        if adapted:
            shares = [opt["share"] / len(trained)] * len(trained) + [1 - opt["share"]]
            weights, rank = blend_adapters(list(zip(shares, read, strict=False)))
            shape = {**saved["encoder"]["adapters"][0], "rank": rank, "alpha": rank}
            saved["encoder"] = {**saved["encoder"], "adapters": [shape]}
        else:
            weights = blend([states["model"] for states in trained], start, opt["share"])
        with whole(out) as temporary:
            torch.save({"model": weights, "p2bot": saved}, temporary)
            for ending in (".dict", ".opt"):
                shutil.copyfile(paths[0] + ending, out + ending)
        print(f"wrote {out}")
