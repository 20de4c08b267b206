"""
What self-play wins and loses with the distance from the supervised model: a table and a drawing.

usage: python bench/frontier.py FOLDER SUPERVISED MODEL ... --receiver R [--nli-model N]

The models are those that ``--save-at-kl`` kept; those of one folder are joined by a line. Figures
are of the responses to people's contexts and of self-chat, sampled, with the supervised model as
the user. What was evaluated in FOLDER is not evaluated again.
"""

import argparse
from pathlib import Path

import matplotlib
from parlai.scripts.eval_model import EvalModel
from tabulate import tabulate

from p2bot_parlai import plugin
from p2bot_parlai.metrics.significance import Comparison, Example, compare, pair_up
from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.tools.figures import new_figure

TURNS = 6
# metrics of responses to people, and of self-chat
PEOPLE = ("f1", "bleu-4", "hits@1", "ppl", "persona_f1", "c_score", "self_repetition")
CHAT = (f"covered_turn{TURNS}", f"told_again_turn{TURNS}", "said_before", "words", "kl")
TITLES = {CHAT[0]: "profile covered", CHAT[1]: "told again", "kl": "KL, nats a response"}


def evaluated(model: str, given: argparse.Namespace) -> tuple[list[Example], list[Example]]:
    """Of the responses to people, and of self-chat."""
    shared = {"model_file": model, "datapath": given.datapath, "loglevel": "warn"}
    shared |= {"batchsize": 16, "precision": given.precision, "receiver": given.receiver}
    shared |= {"eval_dialogues": given.eval_dialogues}
    weights = {f"lambda_{name}": 0.0 for name in ("style", "coherence", "persona")}
    kinds = {
        "people": {
            "task": given.task,
            "skip_generation": False,
            "persona_metrics": True,
            **({"nli_model": given.nli_model} if given.nli_model else {}),
        },
        "chat": {
            "task": f"p2bot:selfplay:{given.task}",
            "selfplay_dialogues": given.dialogues,
            "selfplay_turns": TURNS,
            "user_inference": "multinomial",
            **weights,
            "lambda_coverage": 1.0,
        },
    }
    found = []
    for kind, options in kinds.items():
        log = given.folder / f"{'_'.join(Path(model).parts[-2:])}.{kind}.jsonl"
        if not log.exists():
            EvalModel.main(**shared, **options, world_logs=str(log))
        found.append(read_world_logs(str(log)))
    return found[0], found[1]


def compared(before, after) -> dict[str, Comparison]:
    """Of each metric that both have, with the paired interval over dialogues."""
    found = {}
    for metrics, first, second in zip((PEOPLE, CHAT), before, after, strict=True):
        names = [m for m in metrics if any(m in example.metrics for example in first)]
        found |= {row.metric: row for row in compare(pair_up(first, second), names, seed=42)}
    return found


def draw(rows: dict[str, dict[str, Comparison]], path: Path) -> None:
    """A panel a metric; bars are the 95% intervals of the differences from the supervised model."""
    supervised = next(iter(rows.values()))
    names = [name for name in supervised if name != "kl"]
    down = -(-len(names) // 4)
    figure = new_figure(12, 2.6 * down, layout="constrained")
    for number, name in enumerate(names, start=1):
        axes = figure.add_subplot(down, 4, number)
        axes.set_title(TITLES.get(name, name), fontsize=9)
        axes.axhline(supervised[name].first, color="grey", linewidth=0.8)
        for run in dict.fromkeys(Path(model).parent.name for model in rows):
            own = [row for model, row in rows.items() if Path(model).parent.name == run]
            own.sort(key=lambda row: row["kl"].second)
            values = [row[name] for row in own]
            ends = [
                [value.difference - value.low for value in values],
                [value.high - value.difference for value in values],
            ]
            kl, y = [row["kl"].second for row in own], [value.second for value in values]
            axes.errorbar(kl, y, ends, marker="o", markersize=3, capsize=2, label=run)
        axes.set_xscale("log")
        axes.tick_params(which="both", labelsize=7)
    axes.legend(fontsize=7)
    figure.supxlabel(TITLES["kl"], fontsize=9)
    with matplotlib.rc_context({"svg.hashsalt": "frontier"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


def table(rows: dict[str, dict[str, Comparison]]) -> str:
    """A line a model, with its differences from the supervised one."""
    supervised = next(iter(rows.values()))
    names = list(supervised)
    lines = [["supervised", *(f"{supervised[name].first:.4g}" for name in names)]]
    for model, found in rows.items():
        cells = [
            f"{row.second:.4g} ({row.difference:+.3g} [{row.low:+.3g}, {row.high:+.3g}])"
            for row in map(found.__getitem__, names)
        ]
        lines.append(["/".join(Path(model).parts[-2:]), *cells])
    return tabulate(lines, ["", *(TITLES.get(name, name) for name in names)], tablefmt="pipe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("supervised")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--receiver", required=True, help="calibrated")
    parser.add_argument("--nli-model")
    parser.add_argument("--task", default="convai2:self_original")
    parser.add_argument("--datapath", default="data")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--eval-dialogues", default="1-250", help="of people, and of the openings")
    parser.add_argument("--dialogues", type=int, default=100, help="of self-chat")
    parser.add_argument("--drawing", default="frontier.svg", help="its name in FOLDER")
    given = parser.parse_args()
    plugin.register()
    given.folder.mkdir(parents=True, exist_ok=True)
    before = evaluated(given.supervised, given)
    rows = {model: compared(before, evaluated(model, given)) for model in given.models}
    draw(rows, given.folder / given.drawing)
    print(table(rows))


if __name__ == "__main__":
    main()
