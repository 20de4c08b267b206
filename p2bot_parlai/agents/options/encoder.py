"""Options of agents that stand on a sentence encoder."""

from parlai.core.opt import Opt

from p2bot_parlai.agents.options.common import (
    BELOW_1,
    Options,
    check_bounds,
    check_tokens,
)
from p2bot_parlai.method.backbones.names import SCRATCH
from p2bot_parlai.method.backbones.packaged import ENCODERS
from p2bot_parlai.method.backbones.precision import PRECISIONS


def check_encoder(opt: Opt) -> None:
    """:raises UsageError: for options of an encoder that cannot work."""
    check_bounds(opt, {"dropout": BELOW_1})
    check_tokens(opt, "text_truncate", 3)


def encoder_options(default: str, what: str) -> Options:
    """``--encoder`` and ``--precision``. :param what: which encoder it is."""
    return {
        "--encoder": (
            default,
            f"{what}: {', '.join(sorted(ENCODERS))} (a pip package, no network), any encoder by "
            f"Hugging Face hub name or folder, or '{SCRATCH}' for a small one with random weights",
        ),
        "--precision": (
            "auto",
            "bf16: encode with matrix products in bfloat16 (torch.autocast), twice as fast on "
            "processors that support it; weights, optimizer, scores and losses stay fp32. auto: "
            "bf16 on a GPU that has it, else fp32",
            PRECISIONS,
        ),
    }
