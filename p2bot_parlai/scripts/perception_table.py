"""
``parlai perception_table``: the paper's Table 5 in one command.

Random, TF-IDF and a trained Receiver rank the same lists of personas, original and revised, or,
with ``--labelled-pairs``, the same lists of profile sentences.
"""

import copy
import os
import tempfile

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from parlai.scripts.eval_model import eval_model, get_task_world_logs
from parlai.scripts.eval_model import setup_args as eval_args
from parlai.utils import logging
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.metrics.significance import interval
from p2bot_parlai.parlai_support.dialogues import own_tasks
from p2bot_parlai.parlai_support.files import check_place
from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.tools.quiet import quiet
from p2bot_parlai.tools.report import laid_out, write_json

TASK = "p2bot:persona_perception"
# of --labelled-pairs: a sentence among 20, and among all
PAIRS = {"task": "p2bot:entailed_pairs", "distractors": 19, "hard_candidates": -1}
BASELINES = {"Random": "p2bot/random_perception", "IR": "p2bot/ir_perception"}
# how a metric of the report begins -> column; true_cell is there where the task knows which
# sentence an utterance reveals, as p2bot:sketch does
METRICS = {"mrr": "MRR", "hits@1_of_": "Hits@1 of {}", "true_cell": "True cell"}

Spans = dict[str, tuple[float, float] | None]


def tasks_of(opt: Opt) -> dict[str, dict]:
    """What the table calls a task, and its options."""
    if path := opt["labelled_pairs"]:
        given = {name: opt[name] for name in PAIRS if name in opt["override"] and name != "task"}
        return {os.path.basename(path): {**PAIRS, **given, "nli_path": path}}
    tasks = opt["perception_tasks"].split(",")
    return {task: {"task": TASK, "perception_task": task} for task in tasks}


def measure(opt: Opt) -> dict[str, dict[str, tuple[dict, Spans]]]:
    """
    By model and task the report, and an interval of each metric (a bootstrap over dialogues); of
    the Receiver where ``-mf`` names one, or ``-m``.
    """
    models = dict(BASELINES)
    if opt.get("model_file") or opt.get("model"):
        models["Receiver"] = opt["model"]
    table: dict[str, dict[str, tuple[dict, Spans]]] = {}
    for row, model in models.items():
        for task, changes in tasks_of(opt).items():
            settings = Opt(copy.deepcopy(opt))
            settings.update(model=model, **changes, report_filename="")
            if row in BASELINES:
                settings["model_file"] = settings["init_model"] = None
            logging.info(f"{row}: {task}")
            with quiet(), tempfile.TemporaryDirectory() as folder:
                logs = opt.get("world_logs") or f"{folder}/logs.jsonl"  # a file for each
                settings["world_logs"] = get_task_world_logs(f"{row}_{task}", logs, True)
                report = eval_model(settings)
                examples = read_world_logs(settings["world_logs"])
            shown = [n for n in report if n == "hits@1" or n.startswith(tuple(METRICS))]
            spans = {name: interval(examples, name) for name in shown}
            table.setdefault(row, {})[task] = report, spans
    return table


def format_table(table: dict[str, dict[str, tuple[dict, Spans]]]) -> str:
    """Rows as in Table 5, one a task, in per cent; a dash where a metric is missing."""
    rows = [(row, task, *found) for row, tasks in table.items() for task, found in tasks.items()]
    columns = {"hits@1": "Hits@1"}
    for start, title in METRICS.items():
        names = {name for *_, report, _ in rows for name in report if name.startswith(start)}
        columns |= {name: title.format(name.removeprefix(start)) for name in sorted(names)}
    lines = [
        [row, task, *(_cell(report.get(name), spans.get(name)) for name in columns)]
        for row, task, report, spans in rows
    ]
    return laid_out(["Model", "Task", *columns.values()], lines)


def _cell(value: float | None, span: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    between = f" ({100 * span[0]:.1f} to {100 * span[1]:.1f})" if span else ""
    return f"{100 * float(value):.1f}{between}"


@register_script("perception_table")
class PerceptionTable(ParlaiScript):
    """Table 5 of the paper: Random, IR and a Receiver (-mf) on the same lists, with intervals."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = eval_args()
        parser.description = (
            "Table 5 of the paper: Random, IR and a Receiver (-mf) on the same lists, with "
            "intervals; -m p2bot/receiver --encoder E without -mf is the encoder as it comes"
        )
        group = parser.add_argument_group("Perception table")
        group.add_argument(
            "--perception-tasks",
            default="convai2:self_original,convai2:self_revised",
            help="Tasks to measure on, separated by commas; of a Receiver that was trained on "
            "another corpus than ConvAI2 its own by default",
        )
        group.add_argument(
            "--labelled-pairs",
            help="Instead of these tasks, the positive pairs of a CSV file with the columns "
            "utterance, persona_sentence and label: the sentence of an utterance among 20 "
            "(--distractors 19) and among all of the file",
        )
        parser.set_defaults(task=TASK, datatype="valid", batchsize=16)
        return parser

    def run(self):
        if "perception_tasks" not in self.opt["override"]:
            own = own_tasks(self.opt.get("model_file"))
            self.opt["perception_tasks"] = ",".join(own) or self.opt["perception_tasks"]
        if not all(self.opt["perception_tasks"].split(",")):
            raise UsageError("--perception-tasks contains an empty name")
        model = self.opt.get("model_file")
        if model and not PathManager.exists(model):
            raise P2botError(f"there is no Receiver at {model}")
        pairs = self.opt["labelled_pairs"]
        if pairs and not (pairs.endswith(".csv") and PathManager.exists(pairs)):
            raise P2botError(f"--labelled-pairs {pairs}: there is no such .csv file")
        if self.opt["report_filename"]:
            check_place(self.opt["report_filename"], "--report-filename")
        table = measure(self.opt)
        if self.opt["report_filename"]:
            plain = {
                row: {
                    task: {name: float(value) for name, value in report.items()}
                    for task, (report, _) in tasks.items()
                }
                for row, tasks in table.items()
            }
            write_json(self.opt["report_filename"], plain)
        print(format_table(table))
        return table
