"""
``parlai perception_table``: the paper's Table 5 in one command.

Random, TF-IDF and a trained Receiver rank the same lists of personas, original and revised.
"""

import copy

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from parlai.scripts.eval_model import eval_model, get_task_world_logs
from parlai.scripts.eval_model import setup_args as eval_args
from parlai.utils import logging
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.parlai_support.dialogues import own_tasks
from p2bot_parlai.parlai_support.files import check_place
from p2bot_parlai.tools.quiet import quiet
from p2bot_parlai.tools.report import laid_out, write_json

TASK = "p2bot:persona_perception"
BASELINES = {"Random": "p2bot/random_perception", "IR": "p2bot/ir_perception"}
# column -> name in the evaluation report
METRICS = {"Hits@1": "hits@1", "MRR": "mrr", "Hits@1 of {}": "hits@1_of_{}"}
# where the task knows which sentence an utterance reveals, as p2bot:sketch does
TRUTH = {"True cell": "true_cell"}


def measure(opt: Opt) -> dict[str, dict[str, dict]]:
    """Reports by model and task; the Receiver where ``-mf`` names one."""
    models = dict(BASELINES)
    if opt.get("model_file"):
        models["Receiver"] = opt["model"]
    table: dict[str, dict[str, dict]] = {}
    for row, model in models.items():
        for task in opt["perception_tasks"].split(","):
            settings = Opt(copy.deepcopy(opt))
            settings.update(model=model, task=TASK, perception_task=task, report_filename="")
            if logs := opt.get("world_logs"):  # a file for each
                settings["world_logs"] = get_task_world_logs(f"{row}_{task}", logs, True)
            if row in BASELINES:
                settings["model_file"] = settings["init_model"] = None
            logging.info(f"{row}: {task}")
            with quiet():
                table.setdefault(row, {})[task] = eval_model(settings)
    return table


def format_table(table: dict[str, dict[str, dict]], hard_candidates: int) -> str:
    """Rows as in Table 5, one a task, in per cent; a dash where a metric is missing."""
    reports = [
        (row, task, report) for row, tasks in table.items() for task, report in tasks.items()
    ]
    known = any("true_cell" in report for *_, report in reports)
    metrics = METRICS | TRUTH if known else METRICS
    header = ["Model", "Task", *(title.format(hard_candidates) for title in metrics)]
    lines = []
    for row, task, report in reports:
        values = [report.get(name.format(hard_candidates)) for name in metrics.values()]
        cells = ["-" if value is None else f"{100 * float(value):.1f}" for value in values]
        lines.append([row, task, *cells])
    return laid_out(header, lines)


@register_script("perception_table")
class PerceptionTable(ParlaiScript):
    """Table 5 of the paper: Random, IR and a Receiver (-mf) on the same lists."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = eval_args()
        parser.description = (
            "Table 5 of the paper: Random, IR and a Receiver (-mf) on the same lists"
        )
        group = parser.add_argument_group("Perception table")
        group.add_argument(
            "--perception-tasks",
            default="convai2:self_original,convai2:self_revised",
            help="Tasks to measure on, separated by commas; of a Receiver that was trained on "
            "another corpus than ConvAI2 its own by default",
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
        if self.opt["report_filename"]:
            check_place(self.opt["report_filename"], "--report-filename")
        table = measure(self.opt)
        if self.opt["report_filename"]:
            plain = {
                row: {task: {k: float(v) for k, v in r.items()} for task, r in reports.items()}
                for row, reports in table.items()
            }
            write_json(self.opt["report_filename"], plain)
        print(format_table(table, self.opt["hard_candidates"]))
        return table
