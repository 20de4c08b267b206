"""Command-line options of self-play, with the paper's values (section 5.1) as defaults."""

import os

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.utils.distributed import num_workers
from parlai.utils.io import PathManager

from p2bot_parlai.agents.options.common import (
    A_SHARE,
    AT_LEAST_1,
    NOT_NEGATIVE,
    add_options,
    check_bounds,
    check_metric,
    flag,
    set_epochs,
)
from p2bot_parlai.agents.options.paper import PAPER
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.advantages import ESTIMATORS, OF_GROUPS
from p2bot_parlai.parlai_support.names import zoo_path

WEIGHTS = {
    "style": "lambda_style",
    "coherence": "lambda_coherence",
    "persona": "lambda_persona",
    "repetition": "lambda_repetition",
}
# what evaluation on p2bot:selfplay reports
REPORTED = ("reward", "perception", "user_perception", "kl", "length", *WEIGHTS)
# and the weight that each needs
NEEDS = {
    **{name: (weight, True) for name, weight in WEIGHTS.items()},
    **dict.fromkeys(("perception", "user_perception"), ("lambda_persona", True)),
}
BOUNDS = {
    "gamma": A_SHARE,
    "selfplay_turns": AT_LEAST_1,
    "rollouts_per_opening": AT_LEAST_1,
    "selfplay_epochs": AT_LEAST_1,
    "kl_coef": NOT_NEGATIVE,
    "rl_coef": NOT_NEGATIVE,
}
NOT_LOADED = "; 0 turns it off and loads no model for it"
OPTIONS = {
    "--receiver": (
        None,
        "Model file of a trained Receiver (-m p2bot/receiver), for the persona reward",
    ),
    "--language-model": (
        None,
        "Frozen language model of the style reward: a hub name, a folder, or a model file of "
        "p2bot, with the Transmitter's tokenizer. Default: the pretrained --backbone, or, where "
        "that was trained from scratch, the supervised Transmitter with an empty context",
    ),
    "--lambda-style": (
        PAPER["lambda_style"],
        f"Weight of the language style reward (Eq. 6){NOT_LOADED}",
    ),
    "--lambda-coherence": (
        PAPER["lambda_coherence"],
        f"Weight of the discourse coherence reward (Eq. 7){NOT_LOADED}",
    ),
    "--lambda-persona": (
        PAPER["lambda_persona"],
        f"Weight of the mutual persona perception reward (Eq. 8){NOT_LOADED}",
    ),
    "--lambda-repetition": (
        0.0,
        "Weight of a reward that is not in the paper: minus the share of a response's trigrams "
        "that its speaker used before",
    ),
    "--gamma": (
        PAPER["gamma"],
        "Discount of the persona reward for each later turn of either speaker (Eq. 8)",
    ),
    "--selfplay-turns": (PAPER["selfplay_turns"], "Responses of the agent per dialogue"),
    "--user-inference": (
        "beam",
        "How the frozen user responds; beam uses --beam-size and ranks by Eq. 3",
        ("beam", "greedy", "multinomial"),
    ),
    "--rl-baseline": (
        "mean",
        "What a reward is compared with. mean: the mini-batch (the paper); leave-one-out: its "
        "other responses; turn: the same turn of its other dialogues. With --rollouts-per-opening, "
        "group: the return of the other dialogues of the opening; group-turn: their reward at the "
        "same turn; grpo: their returns, divided by the standard deviation",
        list(ESTIMATORS),
    ),
    "--rollouts-per-opening": (
        1,
        "Dialogues of training that begin with the same personas and first utterance, sampled with "
        "seeds of their own: the groups of --rl-baseline group",
    ),
    "--selfplay-epochs": (
        1,
        "Updates from the same dialogues; more than 1 limits them by PPO's clipped ratio, of 0.2",
    ),
    "--kl-coef": (
        0.0,
        "Weight in the loss of the KL divergence from the supervised model, in nats per response; "
        "the report always shows it",
    ),
    "--rl-coef": (
        1.0,
        "Weight of the self-play loss relative to that of supervised examples "
        "(-t p2bot:selfplay,convai2 -mtw 1,1)",
    ),
    "--show-dialogue-every": (
        0,
        "Print a dialogue with its rewards every N updates; 0: never",
    ),
}


def plays(opt: Opt) -> bool:
    """Whether this run plays: trains on, or is evaluated on, ``p2bot:selfplay``."""
    return any(map(is_selfplay, tasks(opt)))


def learns(opt: Opt) -> bool:
    """Whether this run, where it trains, learns by self-play."""
    return any(map(is_selfplay, (opt.get("task") or "").split(",")))


def only_plays(opt: Opt) -> bool:
    """Whether a run has no other task than self-play."""
    return plays(opt) and all(map(is_selfplay, (opt.get("task") or "").split(",")))


def tasks(opt: Opt) -> list[str]:
    names = ",".join(filter(None, (opt.get("task"), opt.get("evaltask"))))
    return [name for name in names.split(",") if name]


def is_selfplay(task: str) -> bool:
    return task.split(":")[:2] == ["p2bot", "selfplay"] or ".selfplay." in task


def add_selfplay_options(parser: ParlaiParser, partial_opt: Opt | None) -> None:
    add_options(parser, "P²Bot self-play (-t p2bot:selfplay)", OPTIONS)
    if learns(partial_opt or Opt()):
        # 125 updates at 1e-6 move little: a decay would halve it
        parser.set_defaults(learningrate=PAPER["selfplay_learningrate"], lr_scheduler="none")
        set_epochs(parser, partial_opt, PAPER["selfplay_epochs"])


def find_in_zoo(opt: Opt) -> None:
    """Resolve ``zoo:`` names to paths."""
    for options in (opt, opt.get("override", {})):
        for name in ("init_model", "receiver", "language_model"):
            if options.get(name):
                options[name] = zoo_path(opt.get("datapath"), options[name], flag(name))


def receiver_beside(model_file: str) -> str | None:
    """The Receiver in a model's folder: the file ``receiver``, if there is one."""
    path = os.path.join(os.path.dirname(model_file), "receiver")
    return path if PathManager.exists(path) else None


def weights_of(opt: Opt) -> dict[str, float]:
    """The lambdas that are not 0, by the name of their reward."""
    return {name: opt[weight] for name, weight in WEIGHTS.items() if opt[weight]}


def check_selfplay_options(opt: Opt) -> None:
    """
    Checks that load no model.

    :raises P2botError: naming the flag, and what to do.
    """
    check_rewards(opt)
    if not any(
        opt.get(name) and PathManager.exists(opt[name]) for name in ("init_model", "model_file")
    ):
        raise UsageError(
            "self-play starts from a supervised Transmitter: --init-model MODEL, trained with "
            "-m p2bot on convai2"
        )
    if learns(opt):
        check_baseline(opt)
    check_validation_metric(opt)


def check_baseline(opt: Opt) -> None:
    """:raises UsageError: where a reward has nothing to be compared with, or half a group."""
    dialogues = opt["batchsize"] * opt["update_freq"] * num_workers()
    alone = dialogues * opt["selfplay_turns"] == 1 and not opt.get("dynamic_batching")
    if alone and opt["rl_baseline"] == "mean":
        raise UsageError(
            "with one response per mini-batch, its reward is the mean: there is nothing to learn "
            "from. Raise --batchsize or --selfplay-turns, or give --rl-baseline leave-one-out"
        )
    rollouts = opt["rollouts_per_opening"]
    if rollouts == 1 and opt["rl_baseline"] in OF_GROUPS:
        raise UsageError(
            f"--rl-baseline {opt['rl_baseline']} compares dialogues of one opening: set "
            "--rollouts-per-opening to 2 or more"
        )
    whole = only_plays(opt) and not opt.get("dynamic_batching")
    if rollouts > 1 and (opt["batchsize"] % rollouts or not whole):
        raise UsageError(
            f"--rollouts-per-opening {rollouts} needs all of an opening's dialogues in one batch: "
            "make --batchsize a multiple of it, with no other task and no --dynamic-batching"
        )


def check_rewards(opt: Opt) -> None:
    """:raises P2botError: for weights or models that cannot work."""
    if not weights_of(opt):
        raise UsageError("all rewards have the weight 0: set --lambda-persona or another one")
    check_bounds(opt, BOUNDS)
    if opt["lambda_persona"]:
        if not opt.get("receiver"):
            raise UsageError(
                "the persona reward needs a Receiver: --receiver MODEL, trained with "
                "-m p2bot/receiver, or --lambda-persona 0"
            )
        if not PathManager.exists(opt["receiver"]):
            raise P2botError(f"--receiver {opt['receiver']}: there is no such file")


def check_validation_metric(opt: Opt) -> None:
    """:raises P2botError: for a metric that validation will never report."""
    check_metric(opt, NEEDS)
    metric = opt["validation_metric"].rsplit("/", 1)[-1]
    names = [n for n in (opt.get("evaltask") or opt.get("task") or "").split(",") if n]
    never = f"--validation-metric {metric} will never be reported: validation runs on "
    never += ",".join(names)
    if metric in REPORTED and not any(map(is_selfplay, names)):
        raise UsageError(f"{never}. Add p2bot:selfplay to -et, or choose ppl, hits@1, f1")
    if metric not in REPORTED and all(map(is_selfplay, names)):
        raise UsageError(f"{never}. Add -et convai2:self_original, or choose -vmt reward -vmm max")
