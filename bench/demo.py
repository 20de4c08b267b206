"""
The whole method in minutes: train, play, evaluate, chat, and write a report.

    make demo                            on the sketch corpus, which needs no download
    make demo DATAPATH=<ParlAI data>     on real ConvAI2 files (slower; see docs/log.md)

Two lanes, a core each: the supervised Transmitter (P²Bot-S) beside the Receiver; then
self-play makes P²Bot of P²Bot-S, beside a model without personas. It prints the
paper's tables in miniature, two dialogues, and where report.html is. Ends with exit status
1 and a reason where something was not learnt. The recipes are the presets p2bot/sketch_*.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import demo_report

from p2bot_parlai.tools.reproduce.commands import PARLAI, QUICK, SHORT, arguments
from p2bot_parlai.tools.reproduce.lanes import Job, run

# chance of hits@1: one of twenty candidates, and one of 32 personas
CHANCE, PERSONA_CHANCE = 1 / 20, 1 / 32

# on ConvAI2 there are more words to learn
REAL = {"vocab_size": 4000}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Help)
    parser.add_argument("--datapath", help="ParlAI data folder that holds ConvAI2/")
    parser.add_argument("--updates", type=int, default=340, help="of P²Bot-S, 8 dialogues each")
    parser.add_argument("--receiver-epochs", type=float, default=0.7)
    parser.add_argument("--dialogues", type=int, default=1500, help="of self-play")
    parser.add_argument("--examples", type=int, default=300, help="validation examples a row")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="folder for models, logs and report; default: a new one")
    args = parser.parse_args()
    started = time.monotonic()
    out = Path(args.out or tempfile.mkdtemp(prefix="p2bot-demo-"))
    out.mkdir(parents=True, exist_ok=True)
    print(f"models, logs and report: {out}", flush=True)
    demo = Demo(out, args)
    run(out, demo.supervised())
    run(out, demo.selfplay())
    run(out, demo.evaluations())
    figures = demo.figures()
    minutes = (time.monotonic() - started) / 60
    print("\n" + demo_report.as_text(figures) + "\n")
    demo_report.write(out / "report.html", figures, demo.commands, minutes)
    print(f"report: {out / 'report.html'} ({minutes:.1f} minutes)")
    return verdict(figures)


class Demo:
    """The commands of the demo; each model and log has its name in the folder ``out``."""

    def __init__(self, out: Path, args):
        self.out, self.args = out, args
        self.source = "convai2" if args.datapath else "p2bot:sketch"
        datapath = args.datapath or out / "data"
        self.base = {"datapath": datapath, "seed": args.seed, "log_every_n_steps": 20}
        self.real = REAL if args.datapath else {}
        self.commands: list[str] = []
        # real revised personas are there for validation alone
        both = [f"{self.source}:self_original"]
        if not args.datapath:
            both.append(f"{self.source}:self_revised")
        self.learnt_from = ",".join(both)

    def supervised(self) -> list[list[Job]]:
        """P²Bot-S in one lane, the Receiver in the other."""
        perception = ",".join(
            f"p2bot:persona_perception:{task}" for task in self.learnt_from.split(",")
        )
        receiver = {"o": "p2bot/sketch_receiver", "task": perception, **self.real}
        receiver |= {"num_epochs": self.args.receiver_epochs}
        receiver |= SHORT
        return [
            [self.transmitter("P2Bot-S", self.learnt_from)],
            [self.train("Receiver", receiver)],
        ]

    def selfplay(self) -> list[list[Job]]:
        """P²Bot; beside it a model that sees no personas."""
        played = {
            "o": "p2bot/sketch_selfplay",
            "task": f"p2bot:selfplay:{self.source}:self_original",
            "evaltask": f"{self.source}:self_original",
            "init_model": self.out / "P2Bot-S",
            "receiver": self.out / "Receiver",
            "selfplay_dialogues": self.args.dialogues,
            **QUICK,
        }
        without = self.transmitter("no-persona", f"{self.source}:none")
        return [[self.train("P2Bot", played)], [without]]

    def evaluations(self) -> list[list[Job]]:
        datapath = self.base["datapath"]
        tasks = f"{self.source}:self_original,{self.source}:self_revised"
        table = {"model_file": self.out / "Receiver", "perception_tasks": tasks, "batchsize": 32}
        table |= {"datapath": datapath, "report_filename": self.out / "perception.json"}
        chat = {"model_file": self.out / "P2Bot", "receiver": self.out / "Receiver"}
        chat |= {"task": f"p2bot:selfplay:{self.source}:self_original", "num_dialogues": 2}
        chat |= {"datapath": datapath, "outfile": self.out / "dialogues"}
        picture = {"model_file": self.out / "Receiver", "task": f"{self.source}:self_revised"}
        picture |= {"datapath": datapath, "outfile": self.out / "relevance.svg"}
        variants = ("self_original", "self_revised")
        return [
            [
                *(self.evaluate("P2Bot", v) for v in variants),
                self.job("perception", "perception_table", table),
            ],
            [
                *(self.evaluate("P2Bot-S", v) for v in variants),
                self.evaluate("no-persona", "none"),
                self.job("chat", "selfplay_transcript", chat),
                self.job("picture", "relevance_map", {**picture, "datatype": "valid"}),
            ],
        ]

    def figures(self) -> dict:
        """Everything that was measured, read from what the commands wrote."""
        read = {
            "P²Bot-S, original": "P2Bot-S-self_original",
            "P²Bot, original": "P2Bot-self_original",
            "P²Bot-S, revised": "P2Bot-S-self_revised",
            "P²Bot, revised": "P2Bot-self_revised",
            "no persona": "no-persona-none",
        }
        reports = {
            row: json.loads((self.out / f"{name}.json").read_text())["report"]
            for row, name in read.items()
        }
        lines = (self.out / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
        return {
            "transmitter": reports,
            "receiver": json.loads((self.out / "perception.json").read_text()),
            "dialogues": [json.loads(line) for line in lines],
            "relevance": (self.out / "relevance.svg").read_text(encoding="utf-8"),
            "folder": self.out,
        }

    # ------------------------------------------------------------------ one command each
    def transmitter(self, name: str, task: str) -> Job:
        # updates decide, however many epochs they are
        sizes = {**QUICK, "num_epochs": -1, "max_train_steps": self.args.updates, **self.real}
        return self.train(name, {"o": "p2bot/sketch_transmitter", "task": task, **sizes})

    def train(self, name: str, options: dict) -> Job:
        options = {**options, **self.base, "model_file": self.out / name}
        return self.job(name, "train_model", options)

    def evaluate(self, model: str, variant: str) -> Job:
        name = f"{model}-{variant}"
        options = {
            "task": f"{self.source}:{variant}",
            "datapath": self.base["datapath"],
            "model_file": self.out / model,
            "batchsize": 32,
            "num_examples": self.args.examples,
            "report_filename": self.out / f"{name}.json",
        }
        return self.job(name, "eval_model", options)

    def job(self, name: str, script: str, options: dict) -> Job:
        flags = arguments(script, options)
        self.commands.append(" ".join(["parlai", *flags]))
        return Job(name, [*PARLAI, *flags])


def verdict(figures: dict) -> int:
    """0 where everything was learnt, else 1, with the reasons; and what did not come out."""
    rows, receiver = figures["transmitter"], figures["receiver"]["Receiver"]
    ours = rows["P²Bot, original"]
    reasons = {
        "hits@1 of P²Bot is not well over chance": ours["hits@1"] < 3 * CHANCE,
        "the Receiver is not well over chance": min(r["hits@1"] for r in receiver.values())
        < 5 * PERSONA_CHANCE,
    }
    failed = [reason for reason, holds in reasons.items() if holds]
    if failed:
        print("demo: it did not learn: " + "; ".join(failed))
        return 1
    if rows["P²Bot-S, original"]["ppl"] > rows["no persona"]["ppl"]:
        print(
            "Personas have not helped the Transmitter yet: one this small and this young does not "
            "read the answer off its persona (docs/log.md)."
        )
    missed = [
        f"{metric} on {variant}"
        for variant in ("original", "revised")
        for metric in ("f1", "bleu-4")
        if rows[f"P²Bot, {variant}"][metric] <= rows[f"P²Bot-S, {variant}"][metric]
    ]
    if missed:
        print("It learnt; self-play did not better " + " and ".join(missed) + " in this run.")
    else:
        print("It learnt, and self-play bettered F1 and BLEU on both.")
    return 0


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    pass


if __name__ == "__main__":
    sys.exit(main())
