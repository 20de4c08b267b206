"""Adding and checking options; options that several agents have."""

from collections.abc import Callable, Mapping

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import UsageError

# the values that are allowed: in words, and as a test
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
    """:raises UsageError: for an option out of its bounds."""
    for name, (words, fits) in bounds.items():
        if not fits(opt[name]):
            raise UsageError(f"{flag(name)} {opt[name]} is not {words}")


def check_tokens(opt: Opt, name: str, least: int) -> None:
    """:raises UsageError: if texts would be truncated to nothing."""
    if (opt.get(name) or 0) < least:
        raise UsageError(f"{flag(name)} must be at least {least} tokens")


def check_metric(opt: Opt, needs: Mapping[str, tuple[str, bool]]) -> None:
    """
    :param needs: metrics that depend on an option: its name, and whether it must be on or off.
    :raises UsageError: for a ``--validation-metric`` that will not be reported.
    """
    metric = opt["validation_metric"].rsplit("/", 1)[-1]
    name, on = needs.get(metric, ("", False))
    if name and bool(opt[name]) != on:
        raise UsageError(
            f"--validation-metric {metric} is not reported with {flag(name)} {opt[name]}"
        )


# option: (default, help, and what it may be where that is a list)
Options = dict[str, tuple]


TOKENS_OR_AUTO = ("at least -1", lambda value: value >= -1)
TOKENS_PER_BATCH = (
    "Compute a batch in pieces of at most so many tokens, padding included, where memory does not "
    "hold it at once, in training and in ranking; the update is the same. A longer row is a piece "
    "of its own. 0: no limit. -1: on a GPU, what fits its memory by an estimate; on a CPU no limit"
)


def add_options(parser: ParlaiParser, title: str, options: Options) -> None:
    """Add a group of options. Each has the type of its default, or str without one."""
    group = parser.add_argument_group(title)
    for name, (default, text, *choices) in options.items():
        kind = "bool" if isinstance(default, bool) else type("" if default is None else default)
        more = {"choices": choices[0]} if choices else {"type": kind}
        group.add_argument(name, default=default, help=text, **more)


def sizes(
    of: str, layers: int, heads: int, width: int, vocab_size: int, dropout: str = ""
) -> Options:
    """
    The options that shape a network with random weights.

    :param of: its name on the command line, as ``--encoder scratch``.
    :param vocab_size: of the tokenizer that is learnt for it. :param dropout: what else has it.
    """
    return {
        "--vocab-size": (
            vocab_size,
            f"Largest vocabulary of the byte-level BPE learnt from the task for {of}",
        ),
        "--n-layers": (layers, f"Transformer blocks of {of}"),
        "--n-heads": (heads, f"Attention heads of {of}"),
        "--embedding-size": (width, f"Hidden size of {of}"),
        "--dropout": (0.1, f"Dropout probability {dropout}of {of}"),
    }


def set_epochs(parser: ParlaiParser, partial_opt: Opt | None, epochs: int) -> None:
    """Train this many epochs, unless steps or time limit the run."""
    limits = ((partial_opt or {}).get(name) for name in ("max_train_steps", "max_train_time"))
    if not any(limit and limit > 0 for limit in limits):
        parser.set_defaults(num_epochs=epochs)
