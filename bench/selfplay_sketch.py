"""
Self-play on p2bot:sketch, where it is known what an utterance tells of its speaker: recipes
against the supervised model that they begin with.

usage: python bench/selfplay_sketch.py FOLDER [--recipes mean group ...] [--seeds 1 2 3]

What is finished in FOLDER is not done again.
"""

import argparse
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from parlai.scripts.eval_model import EvalModel
from parlai.scripts.train_model import TrainModel
from tabulate import tabulate

from p2bot_parlai import plugin
from p2bot_parlai.method.rewards import repetition
from p2bot_parlai.metrics.intervals import bootstrap_interval
from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.scripts.selfplay_transcript import SelfplayTranscript
from p2bot_parlai.tasks.sketch.grammar import FACTS

SUPERVISED, RECEIVER = "zoo:p2bot/sketch/model", "zoo:p2bot/sketch/receiver"
GROUP = {"rollouts_per_opening": 4, "rl_baseline": "group-turn"}
COVERED = {"reward_scale": "batch", "lambda_persona": 0.0, "lambda_coverage": 0.5}
RECIPES = {
    "mean": {},
    "group": GROUP,
    "group, scale": {**GROUP, "reward_scale": "batch"},
    "group, scale, coverage": {**GROUP, **COVERED},
    "group, scale, coverage, repetition": {**GROUP, **COVERED, "lambda_repetition": 0.5},
}
QUIET = {"loglevel": "warn"}


# ------------------------------------------------------------------------- the truth
@cache
def tells(fact: str) -> re.Pattern:
    """What states a fact of the corpus: its profile sentence and all its answers."""
    found = FACTS[fact]
    texts = [found.original, *map(found.fill, found.kind.answers)]
    stems = (re.escape(text.rstrip(" .")) for text in texts)
    return re.compile("|".join(re.sub(r"\\\{\w+\\\}", r"\\S+", stem) for stem in stems))


def truth(persona: Sequence[str], replies: Sequence[str]) -> dict[str, float]:
    """Of one dialogue: how much of the profile was told, and how often again."""
    by_sentence = {fact.original: name for name, fact in FACTS.items()}
    told = [
        sum(bool(tells(by_sentence[sentence]).search(reply)) for reply in replies)
        for sentence in persona
    ]
    words = [reply.split() for reply in replies]
    said = [-repetition(own, words[:n]) for n, own in enumerate(words)]
    return {
        "told": sum(map(bool, told)) / len(persona),
        "told again": float(sum(max(0, times - 1) for times in told)),
        "said before": sum(said) / len(said),
        "words": sum(map(len, words)) / len(words),
    }


# ------------------------------------------------------------------------- the runs
def train(folder: Path, recipe: str, seed: int, common: dict) -> str:
    """:return: the model file."""
    path = folder / f"{recipe.replace(', ', '_')}_{seed}" / "model"
    if not path.with_suffix(".done").exists():
        TrainModel.main(
            o="p2bot/sketch_selfplay",
            init_model=SUPERVISED,
            receiver=RECEIVER,
            model_file=str(path),
            seed=seed,
            validation_every_n_epochs=-1,
            validation_max_exs=16,
            short_final_eval=True,
            **common,
            **RECIPES[recipe],
        )
        path.with_suffix(".done").touch()
    return str(path)


def measure(model: str, files: Path, examples: int, dialogues: int, data: dict) -> dict:
    """:return: name -> dialogue -> value; of the same dialogues for every model."""
    logs, played = files / "logs.jsonl", files / "played.jsonl"
    files.mkdir(parents=True, exist_ok=True)
    if not logs.exists():
        EvalModel.main(
            model_file=model,
            task="p2bot:sketch:self_original",
            datatype="valid",
            num_examples=examples,
            batchsize=20,
            world_logs=str(logs),
            inference="beam",
            **data,
        )
    if not played.exists():
        weights = {f"lambda_{name}": 0.0 for name in ("style", "coherence", "persona")}
        SelfplayTranscript.main(
            model_file=model,
            receiver=RECEIVER,
            outfile=str(played.with_suffix("")),
            num_dialogues=dialogues,
            selfplay_turns=6,
            **weights,
            lambda_coverage=1.0,
            **data,
        )
    found: dict[str, dict[str, list[float]]] = {}
    for example in read_world_logs(str(logs)):
        for name in ("f1", "bleu-4"):
            value, weight = example.metrics[name]
            found.setdefault(name, {}).setdefault(example.dialogue, []).append(value / weight)
    for number, line in enumerate(played.read_text(encoding="utf-8").splitlines()):
        dialogue = json.loads(line)
        replies = [turn["agent"] for turn in dialogue["turns"]]
        values = truth(dialogue["agent_persona"], replies)
        values["covered"] = dialogue["turns"][-1]["covered"]
        for name, value in values.items():
            found.setdefault(name, {})[str(number)] = [value]
    return found


def compared(before: dict, after: Sequence[dict]) -> str:
    """The mean over seeds, and its difference from the model before, with a 95% interval."""
    names = list(before)
    sums = [np.array([[sum(run[n]), len(run[n])] for n in names], dtype=float) for run in after]
    first = np.array([[sum(before[n]), len(before[n])] for n in names], dtype=float)
    numerators = np.mean([part[:, 0] for part in sums], axis=0)
    columns = (numerators, sums[0][:, 1], first[:, 0], first[:, 1])

    def difference(a, m, b, n, axis=-1):
        return a.sum(axis=axis) / m.sum(axis=axis) - b.sum(axis=axis) / n.sum(axis=axis)

    low, high = bootstrap_interval(columns, difference, np.random.default_rng(0), 9999)
    value = numerators.sum() / columns[1].sum()
    return f"{value:.3f} ({difference(*columns):+.3f} [{low:+.3f}, {high:+.3f}])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--learningrate", type=float, default=1e-4)
    parser.add_argument("--kl-coef", type=float, default=0.1)
    parser.add_argument("--selfplay-dialogues", type=int, default=2000)
    parser.add_argument("--examples", type=int, default=800, help="of F1 and BLEU")
    parser.add_argument("--dialogues", type=int, default=200, help="of six turns each")
    given = parser.parse_args()
    plugin.register()
    data = {"datapath": str(given.folder / "data"), **QUIET}
    names = ("learningrate", "kl_coef", "selfplay_dialogues")
    common = {**data, **{name: getattr(given, name) for name in names}}
    size = given.examples, given.dialogues, data
    before = measure(SUPERVISED, given.folder / "supervised", *size)
    rows = [["supervised", *(f"{np.mean(sum(d.values(), [])):.3f}" for d in before.values())]]
    for recipe in given.recipes:
        models = [train(given.folder, recipe, seed, common) for seed in given.seeds]
        after = [measure(model, Path(model).parent / "measured", *size) for model in models]
        cells = (compared(before[name], [run[name] for run in after]) for name in before)
        rows.append([recipe, *cells])
    print(tabulate(rows, ["", *before], tablefmt="pipe"))


if __name__ == "__main__":
    main()
