"""
A few minutes of the whole thing: train small models, print the paper's metrics, chat.

    make demo                            on a small corpus that it makes up
    make demo DATAPATH=<ParlAI data>     on real ConvAI2 files

Two GPTs from scratch learn side by side, one with personas (P²Bot-S) and one without
(convai2:none). The table compares them, and both with a model that learnt nothing.
Ends with exit status 1 and a reason where the model did not learn, and says whether
personas helped it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "p2bot_parlai"]
SIZE = {"n_layers": 2, "n_heads": 4, "embedding_size": 128, "vocab_size": 4000, "dropout": 0}
# docs/log.md says why; the paper's recipe is for a pretrained model
RECIPE = {"learningrate": 2e-3, "warmup_updates": 300, "batchsize": 16, "seed": 1}
RECIPE |= {"num_distractors": 3, "history_size": 1, "packed": False}
COLUMNS = {"hits@1": "hits@1 %", "ppl": "ppl", "ppl_word": "ppl/word", "f1": "F1 %"}
COLUMNS |= {"bleu-4": "BLEU-4 %"}
PERCENT = ("hits@1", "f1", "bleu-4")
CHANCE = 1 / 20  # one of twenty candidates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Help)
    parser.add_argument("--datapath", help="ParlAI data folder that holds ConvAI2/")
    parser.add_argument(
        "--updates", type=int, help="training steps; default: 3500, made-up corpus: 1500"
    )
    parser.add_argument("--examples", type=int, default=1000, help="validation examples a row")
    parser.add_argument("--out", help="folder for models and logs; default: a temporary one")
    args = parser.parse_args()
    out = Path(args.out or tempfile.mkdtemp(prefix="p2bot-demo-"))
    out.mkdir(parents=True, exist_ok=True)
    datapath = args.datapath or made_up_corpus(out)
    updates = args.updates or (3500 if args.datapath else 1500)
    print(f"models and logs: {out}")

    tasks = {"p2bot": "convai2:self_original", "personaless": "convai2:none"}
    wait({"untrained": train(out / "untrained", datapath, tasks["p2bot"], updates=1)}, out)
    wait({n: train(out / n, datapath, task, updates) for n, task in tasks.items()}, out)

    rows = {
        "untrained, original": ("untrained", "self_original"),
        "no persona": ("personaless", "none"),
        "P²Bot-S, original": ("p2bot", "self_original"),
        "P²Bot-S, revised": ("p2bot", "self_revised"),
    }
    table = {name: evaluate(out, *row, datapath, args.examples) for name, row in rows.items()}
    print("\n" + rendered(table) + "\n")
    chat(out, datapath)
    return verdict(table)


def made_up_corpus(out: Path) -> str:
    """Dialogues of a few templates: enough to see that everything works."""
    sys.path.insert(0, str(ROOT / "tests"))
    from convai2_files import write_convai2

    return write_convai2(out / "data", dialogues=400)


def train(model: Path, datapath: str, task: str, updates: int) -> subprocess.Popen:
    """Start training in a process of its own; one update is none, the rate being 0."""
    options = {
        "model": "p2bot",
        "task": task,
        "datapath": datapath,
        "model_file": model,
        "backbone": "scratch",
        **SIZE,
        **RECIPE,
        "max_train_steps": updates,
        "log_every_n_steps": 25,
        # the table is made by eval_model, later
        "validation_max_exs": 64,
        "short_final_eval": True,
        "skip_generation": True,
    }
    if updates == 1:
        options["learningrate"] = 0.0
    return start("train_model", options, model.with_suffix(".log"))


def start(script: str, options: dict, log: Path) -> subprocess.Popen:
    """A command in a process of its own, on half of the cores."""
    flags = [part for k, v in options.items() for part in (f"--{k.replace('_', '-')}", str(v))]
    threads = str(max(1, (os.cpu_count() or 2) // 2))
    with open(log, "w") as file:
        return subprocess.Popen(
            [*COMMAND, script, *flags],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": threads},
        )


def wait(running: dict[str, subprocess.Popen], out: Path) -> None:
    """Show how far the runs are, from their logs; end everything where one fails."""
    live = sys.stderr.isatty()
    bars = {
        name: tqdm(total=100, bar_format="{bar:30}{desc}", disable=not live) for name in running
    }
    told = dict.fromkeys(running, -1)
    try:
        while any(process.poll() is None for process in running.values()):
            time.sleep(1)
            for name, process in running.items():
                if process.poll():
                    sys.exit(failure(out, name))
                log = (out / f"{name}.log").read_text()
                share, text = (
                    re.findall(r"training (\d+)% done, (.*)", log) or [("0", "starting")]
                )[-1]
                bars[name].n = int(share)
                bars[name].set_description_str(f" {name}: {text}")
                if not live and int(share) // 20 > told[name]:
                    told[name] = int(share) // 20
                    print(f"{name}: {share}%, {text}", flush=True)
    finally:
        for name, process in running.items():
            bars[name].close()
            process.terminate()


def evaluate(out: Path, model: str, variant: str, datapath: str, examples: int) -> dict:
    """One row: the report of ``eval_model``, which ranks and generates by default."""
    report = out / f"{model}-{variant}.json"
    options = {
        "task": f"convai2:{variant}",
        "datapath": datapath,
        "model_file": out / model,
        "batchsize": 16,
        "num_examples": examples,
        "report_filename": report,
    }
    log = report.with_suffix(".log")
    if start("eval_model", options, log).wait():
        sys.exit(failure(out, log.stem))
    return json.loads(report.read_text())["report"]


def rendered(table: dict) -> str:
    lines = [f"{'':22}" + "".join(f"{title:>10}" for title in COLUMNS.values())]
    for name, report in table.items():
        cells = (report[c] * (100 if c in PERCENT else 1) for c in COLUMNS)
        lines.append(f"{name:22}" + "".join(f"{cell:10.2f}" for cell in cells))
    return "\n".join(lines)


def chat(out: Path, datapath: str) -> None:
    """Two copies of P²Bot talk, each with a persona of the validation set."""
    log = out / "self_chat.log"
    options = {
        "task": "convai2:self_original",
        "datapath": datapath,
        "model_file": out / "p2bot",
        "datatype": "valid",
        "seed": 7,
        "selfchat_max_turns": 5,
        "num_self_chats": 1,
        "outfile": out / "self_chat",
        "loglevel": "error",
    }
    if start("self_chat", options, log).wait():
        sys.exit(failure(out, log.stem))
    print(log.read_text())


def verdict(table: dict) -> int:
    """0 where the model learnt, else 1, with the reasons; and whether personas helped it."""
    ours, untrained = table["P²Bot-S, original"], table["untrained, original"]
    reasons = {
        "hits@1 is not well over chance": ours["hits@1"] < 2 * CHANCE,
        "perplexity is not well under an untrained model's": ours["ppl"] > untrained["ppl"] / 4,
    }
    failed = [reason for reason, holds in reasons.items() if holds]
    if failed:
        print("demo: it did not learn: " + "; ".join(failed))
        return 1
    if ours["ppl"] < table["no persona"]["ppl"]:
        print("It learnt, and personas helped.")
    else:
        print(
            "It learnt. Personas have not helped it yet: a model this small and this young does "
            "not copy from them (docs/log.md)."
        )
    return 0


def failure(out: Path, name: str) -> str:
    """What to print where a command failed: the end of its log."""
    log = out / f"{name}.log"
    return f"demo: failed; the end of {log}:\n" + "\n".join(log.read_text().splitlines()[-15:])


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    pass


if __name__ == "__main__":
    sys.exit(main())
