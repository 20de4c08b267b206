"""Command-line options of self-play, with the paper's values (section 5.1) as defaults."""

import importlib
import math
import os
import re

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
from p2bot_parlai.method.reward_models import REWARDS, Reward
from p2bot_parlai.parlai_support.names import zoo_path

LAMBDAS = {name: f"lambda_{name}" for name in REWARDS}
# what evaluation on p2bot:selfplay reports whatever its rewards
REPORTED = ("reward", "kl", "length", "words", "ended", "said_before", "entropy", "distinct_2")
BOUNDS = {
    "gamma": A_SHARE,
    "selfplay_turns": AT_LEAST_1,
    "rollouts_per_opening": AT_LEAST_1,
    "selfplay_epochs": AT_LEAST_1,
    "kl_coef": NOT_NEGATIVE,
    "rl_coef": NOT_NEGATIVE,
    "partner_every": AT_LEAST_1,
    "stop_kl": NOT_NEGATIVE,
    "stop_distinct": A_SHARE,
}
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
    "--style-prefix": (
        None,
        "Text that the language model of the style reward reads before a response, with special "
        "tokens and \\n for a new line. Default: its start of a text, or of a user's message where "
        "it was made for chats (<|im_start|>user); a full stop where it has neither (openai-gpt); "
        "[SELF] for a model of p2bot",
    ),
    **{
        flag(option): (
            REWARDS[name].weight,
            f"Weight of {REWARDS[name].about}. 0 turns it off and loads no model for it",
        )
        for name, option in LAMBDAS.items()
    },
    "--reward": (
        None,
        "Rewards of your own with their weights, such as my_rewards:Brevity=0.3 (docs/method.md); "
        "several are separated by commas",
    ),
    "--reward-scale": (
        "none",
        "What rewards are learnt from: as they are (the paper), or with mean 0 and standard "
        "deviation 1 over the mini-batch (all but overlong), each before its weight; the report "
        "has them as they are",
        ["none", "batch"],
    ),
    "--gamma": (
        PAPER["gamma"],
        "Discount of the persona and coverage rewards for each later turn of either speaker "
        "(Eq. 8)",
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
    "--log-p-per-token": (
        False,
        "Divide log p(a | s) of Eq. 5 by the tokens of the response, as the released code does: a "
        "long response then moves the model no more than a short one",
    ),
    "--kl-coef": (
        0.0,
        "Weight in the loss of the KL divergence from the supervised model, in nats per response",
    ),
    "--rl-coef": (
        1.0,
        "Weight of the self-play loss relative to that of supervised examples "
        "(-t p2bot:selfplay,convai2 -mtw 1,1)",
    ),
    "--partner": (
        "frozen",
        "Whom the agent learns with: the supervised model (the paper), itself as it last was "
        "(latest), or in each update one of its 8 newest selves (pool; without --adapter lora "
        "each takes the memory of a model). Evaluation is with the supervised model",
        ["frozen", "latest", "pool"],
    ),
    "--partner-every": (20, "Updates between two selves that --partner latest or pool keeps"),
    "--stop-kl": (
        0.0,
        "End the run when the agent has gone so far from the supervised model, in nats of KL "
        "divergence a response, mean of 10 updates; the best model of the validations is kept. "
        "0: never",
    ),
    "--save-at-kl": (
        None,
        "Keep the model of the update in which that mean first reaches these divergences, "
        "comma-separated, such as 0.05,0.1,0.2, as MODEL.kl0.05 and so on",
    ),
    "--stop-distinct": (
        0.0,
        "Likewise where the share of different word pairs in the responses of an update "
        "(distinct-2, 0 to 1) has fallen below this. 0: never",
    ),
    "--save-rollouts": (
        None,
        "Append every dialogue that is learnt from to this file, as a line of JSON with personas, "
        "texts, tokens, their log-probabilities, and rewards; several processes add their number",
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


def rewards_of(opt: Opt) -> dict[type[Reward], float]:
    """
    The rewards whose lambda is not 0.

    :raises UsageError: for a ``--reward`` that cannot be used.
    """
    found = {REWARDS[name]: opt[option] for name, option in LAMBDAS.items()}
    return {reward: weight for reward, weight in {**found, **own_rewards(opt)}.items() if weight}


def own_rewards(opt: Opt) -> dict[type[Reward], float]:
    """
    ``--reward``. Importing a module runs it, so only what was given on the command line is.

    :raises UsageError: for one that is none, or that only the model's own file names.
    """
    given = opt.get("override", {}).get("reward")
    if given is None and opt.get("reward"):
        raise UsageError(
            f"this model was trained with --reward {opt['reward']}, and nothing is imported "
            'because a file says so: give it again, or --reward "" to play without it'
        )
    found: dict[type[Reward], float] = {}
    for spec in filter(None, (given or "").split(",")):
        path, _, weight = spec.partition("=")
        module, _, name = path.partition(":")
        try:
            reward, scale = getattr(importlib.import_module(module), name), float(weight)
        except (ImportError, ValueError, AttributeError) as error:
            raise UsageError(
                f"--reward {spec}: {error}. Its form is module:Class=weight, the module one that "
                "Python finds (PYTHONPATH)"
            ) from error
        mine = isinstance(reward, type) and issubclass(reward, Reward) and hasattr(reward, "name")
        if not mine:
            raise UsageError(
                f"--reward {spec}: {name} must be a subclass of "
                "p2bot_parlai.method.reward_models.Reward with a name"
            )
        others = [*REWARDS.values(), *found]
        if reward.name in {*REPORTED, *(name for other in others for name in _metrics(other))}:
            raise UsageError(f"--reward {spec}: the name {reward.name} is taken, choose another")
        found[reward] = scale
    return found


def check_selfplay_options(opt: Opt) -> None:
    """
    Checks that load no model.

    :raises P2botError: naming the flag, and what to do.
    """
    check_rewards(opt)
    kl_to_save_at(opt)
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


def kl_to_save_at(opt: Opt) -> list[float]:
    """
    ``--save-at-kl``.

    :raises UsageError: for what is no list of positive numbers, or has no name to be saved under.
    """
    given = opt.get("save_at_kl") or ""
    try:
        found = [float(number) for number in given.split(",") if number]
    except ValueError:
        found = [0.0]
    if any(not 0 < number < math.inf for number in found):
        raise UsageError(f"--save-at-kl {given}: positive numbers, separated by commas")
    if found and not opt.get("model_file"):
        raise UsageError(
            f"--save-at-kl {given} needs a --model-file, whose name the others begin with"
        )
    return found


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
    # of two tasks, the rows of a batch are of either
    whole = is_selfplay(opt["task"]) and "," not in opt["task"] and not opt.get("dynamic_batching")
    if rollouts > 1 and (opt["batchsize"] % rollouts or not whole):
        raise UsageError(
            f"--rollouts-per-opening {rollouts} needs all of an opening's dialogues in one batch: "
            "make --batchsize a multiple of it, with no other task and no --dynamic-batching"
        )


def check_rewards(opt: Opt) -> None:
    """:raises P2botError: for weights or models that cannot work."""
    rewards = rewards_of(opt)
    if not rewards:
        raise UsageError("all rewards have the weight 0: set --lambda-persona or another one")
    check_bounds(opt, BOUNDS)
    for reward in rewards:
        if reward.needs_receiver and not opt.get("receiver"):
            raise UsageError(
                f"the {reward.name} reward needs a Receiver: --receiver MODEL, trained with "
                f"-m p2bot/receiver, or --lambda-{reward.name} 0"
            )
        if reward.needs_receiver and not PathManager.exists(opt["receiver"]):
            raise P2botError(f"--receiver {opt['receiver']}: there is no such file")


def check_validation_metric(opt: Opt) -> None:
    """:raises P2botError: for a metric that validation will never report."""
    needs = {metric: (LAMBDAS[r.name], True) for r in REWARDS.values() for metric in _metrics(r)}
    check_metric(opt, needs)
    reported = {*REPORTED, *needs, *(m for reward in own_rewards(opt) for m in _metrics(reward))}
    metric = opt["validation_metric"].rsplit("/", 1)[-1]
    found = re.sub(r"^weighted_|_turn\d+$", "", metric) in reported
    names = [n for n in (opt.get("evaltask") or opt.get("task") or "").split(",") if n]
    never = f"--validation-metric {metric} will never be reported: validation runs on "
    never += ",".join(names)
    if found and not any(map(is_selfplay, names)):
        raise UsageError(f"{never}. Add p2bot:selfplay to -et, or choose ppl, hits@1, f1")
    if not found and all(map(is_selfplay, names)):
        raise UsageError(f"{never}. Add -et convai2:self_original, or choose -vmt reward -vmm max")


def _metrics(reward: type[Reward]) -> tuple[str, ...]:
    return (reward.name, *reward.reported)
