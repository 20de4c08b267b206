"""Command-line options of low-rank adapters."""

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai.agents.options.common import add_options, flag
from p2bot_parlai.errors import UsageError

SELFPLAY_RANK = 8
OPTIONS = {
    "--adapter": (
        "none",
        "lora: the pretrained backbone or encoder stays as it is, and low-rank adapters learn (Hu "
        "et al., 2022), in a backbone with rows of their own for the special tokens; the model "
        "file holds them alone. In self-play all language models share the one backbone. A "
        "folder, or hub name, of a backbone's adapter as PEFT writes it: begin with that one, "
        "without --backbone on the base that it names. none: every weight learns",
    ),
    "--adapter-rank": (
        16,
        f"Rank of a new adapter; in self-play, where it stands on the supervised one, "
        f"{SELFPLAY_RANK} unless you say otherwise",
    ),
    "--adapter-alpha": (0, "A new adapter counts alpha / rank times; 0: alpha is twice the rank"),
    "--adapter-targets": (
        None,
        "Linear layers that a new adapter changes, by their last names, e.g. q_proj,v_proj; "
        "default: all of the blocks",
    ),
}


def add_adapter_options(parser: ParlaiParser, partial_opt: Opt | None) -> None:
    add_options(parser, "P²Bot adapters", OPTIONS)


def shape_of(opt: Opt, default_rank: int) -> tuple[int, int, tuple[str, ...]]:
    """
    Rank, alpha and targets of a new adapter.

    :raises UsageError: for a negative alpha.
    """
    if opt["adapter_alpha"] < 0:
        raise UsageError(f"--adapter-alpha {opt['adapter_alpha']}: must be 0 or more")
    rank = opt["adapter_rank"] if "adapter_rank" in opt.get("override", {}) else default_rank
    targets = tuple(filter(None, (opt["adapter_targets"] or "").replace(" ", "").split(",")))
    return rank, opt["adapter_alpha"] or 2 * rank, targets


def refuse_shape(opt: Opt, there: dict | None) -> None:
    """
    :param there: the newest adapter of the saved model, in which no other is made.
    :raises UsageError: for another shape than that, or for an adapter where there is none.
    """
    if opt["adapter"] != "none" and not there:
        raise UsageError(
            f"--adapter {opt['adapter']}: the saved model has all its weights and no adapter; drop "
            "the flag, or start from a pretrained model"
        )
    rank, alpha, targets = shape_of(opt, (there or {}).get("rank", 0))
    asked = {"adapter_rank": rank, "adapter_alpha": alpha, "adapter_targets": list(targets)}
    for name, value in asked.items():
        known = there and there[name.removeprefix("adapter_")]
        if name in opt.get("override", {}) and value != known:
            had = f"the saved adapter has {known}" if there else "there is no adapter in this run"
            raise UsageError(f"{flag(name)} {opt[name]}: {had}, and no new one is made")
