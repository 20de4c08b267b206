"""What several agents' options have in common: how they are added, and how they are checked."""

from collections.abc import Callable, Mapping

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.backbones.encoder import SCRATCH
from p2bot_parlai.method.backbones.packaged import ENCODERS
from p2bot_parlai.method.backbones.precision import PRECISIONS

# what a value must be, in words, and the test of it
Bound = tuple[str, Callable[[float], bool]]
NOT_NEGATIVE: Bound = ("at least 0", lambda value: value >= 0)
AT_LEAST_1: Bound = ("at least 1", lambda value: value >= 1)
ABOVE_0: Bound = ("above 0", lambda value: value > 0)
A_SHARE: Bound = ("between 0 and 1", lambda value: 0 <= value <= 1)
BELOW_1: Bound = ("at least 0 and below 1", lambda value: 0 <= value < 1)


def flag(name: str) -> str:
    """``text_truncate`` -> ``--text-truncate``"""
    return "--" + name.replace("_", "-")


def check_bounds(opt: Opt, bounds: Mapping[str, Bound]) -> None:
    """:raises UsageError: for an option that is out of its bounds."""
    for name, (words, fits) in bounds.items():
        if not fits(opt[name]):
            raise UsageError(f"{flag(name)} {opt[name]} is not {words}")


def check_tokens(opt: Opt, name: str, least: int) -> None:
    """:raises UsageError: where texts would be cut so short that they hold nothing."""
    if (opt.get(name) or 0) < least:
        raise UsageError(f"{flag(name)} must be at least {least} tokens")


def refuse(opt: Opt, name: str, why: str) -> None:
    """:raises UsageError: where an option of ParlAI's is set that the agent cannot follow."""
    if opt.get(name):
        raise UsageError(f"{flag(name)} {why}")


def add_encoder_options(group, default: str, what: str) -> None:
    """``--encoder`` and ``--precision``. :param what: which encoder it is."""
    group.add_argument(
        "--encoder",
        type=str,
        default=default,
        help=f"{what}: {', '.join(sorted(ENCODERS))} (a pip package, no network), any encoder by "
        f"Hugging Face hub name or folder, or '{SCRATCH}' for a small one with random weights",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="bf16: encode with matrix products in bfloat16 (torch.autocast), twice as fast on "
        "processors that have it; weights, optimizer, scores and losses stay fp32",
    )


def add_sizes(
    group, of: str, layers: int, heads: int, width: int, vocab_size: int, dropout: str = ""
) -> None:
    """
    The options that shape a network with random weights.

    :param of: its name on the command line, as ``--encoder scratch``.
    :param vocab_size: of the tokenizer that is learnt for it. :param dropout: what else has it.
    """
    group.add_argument(
        "--vocab-size",
        type=int,
        default=vocab_size,
        help=f"Largest vocabulary of the byte-level BPE learnt from the task for {of}",
    )
    group.add_argument("--n-layers", type=int, default=layers, help=f"Transformer blocks of {of}")
    group.add_argument("--n-heads", type=int, default=heads, help=f"Attention heads of {of}")
    group.add_argument("--embedding-size", type=int, default=width, help=f"Hidden size of {of}")
    group.add_argument(
        "--dropout", type=float, default=0.1, help=f"Dropout probability {dropout}of {of}"
    )


def set_epochs(parser: ParlaiParser, partial_opt: Opt | None, epochs: int) -> None:
    """Train this many epochs, unless steps or time limit the run."""
    limits = ((partial_opt or {}).get(name) for name in ("max_train_steps", "max_train_time"))
    if not any(limit and limit > 0 for limit in limits):
        parser.set_defaults(num_epochs=epochs)
