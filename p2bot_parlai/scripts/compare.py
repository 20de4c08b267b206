"""
``parlai compare A B``: is the difference between two models significant?

A and B are model files, which are evaluated on ``--task``, or files that ``parlai eval_model
--world-logs FILE`` wrote.
"""

import os
import tempfile
from dataclasses import asdict

from parlai.core.build_data import modelzoo_path
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script
from parlai.scripts.eval_model import EvalModel, get_task_world_logs
from parlai.scripts.eval_model import setup_args as eval_args
from parlai.utils import logging

from p2bot_parlai.agents.options.persona_metrics import add_persona_metrics_options
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.metrics.significance import DISTINCT, UNITS, Comparison, Example, compare, pair_up
from p2bot_parlai.parlai_support.files import check_place
from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.tools.quiet import quiet
from p2bot_parlai.tools.report import laid_out, write_json

# shown by default, if both have them
METRICS = (
    *("hits@1", "ppl", "ppl_word", "f1", "bleu-4", "distinct-1", "distinct-2", "response_len"),
    *("repetition", "self_repetition", "persona_f1", "perception", "c_score", "entails"),
    "contradicts",
)
ALL = "all"
# our own options; the others belong to eval_model
OWN = ("compared", "compare_metrics", "resamples", "unit", "seed", "dump_folder")


def check_options(opt: Opt) -> None:
    """:raises P2botError: before anything is evaluated."""
    if len(opt.get("compared") or ()) != 2:
        raise UsageError(
            "name two models or dumps: parlai compare A B, with -t TASK for model files; dumps "
            "are written by parlai eval_model --world-logs"
        )
    if opt["resamples"] < 99:
        raise UsageError(f"--resamples {opt['resamples']}: at least 99 are needed")
    if opt["seed"] < 0:
        raise UsageError(f"--seed {opt['seed']} is negative")
    if opt.get("persona_metrics") is False and (opt.get("receiver") or opt.get("nli_model")):
        raise UsageError("--receiver and --nli-model need --persona-metrics true")
    for path in opt["compared"]:
        if not os.path.exists(modelzoo_path(opt["datapath"], path)):
            raise P2botError(f"there is no model and no dump {path}")
        if is_model(opt, path) and not opt.get("task"):
            raise UsageError(f"{path} is a model: name the task to evaluate it on with -t TASK")


def is_model(opt: Opt, path: str) -> bool:
    """Whether a path is a model file; otherwise it is a dump."""
    return os.path.exists(f"{modelzoo_path(opt['datapath'], path)}.opt")


def examples_of(opt: Opt, path: str, dump: str) -> list[Example]:
    """:param dump: file for the world logs of a model."""
    if not is_model(opt, path):
        return read_world_logs(path)
    logging.info(f"Evaluating {path} on {opt['task']}")
    given = {k: v for k, v in opt.get("override", {}).items() if k not in OWN}
    given |= {"task": opt["task"], "model_file": path, "world_logs": dump, "report_filename": ""}
    with quiet():
        EvalModel.main(**given)
    tasks = opt["task"].split(",")
    files = [get_task_world_logs(task, dump, is_multitask=len(tasks) > 1) for task in tasks]
    return [example for file in files for example in read_world_logs(file)]


def chosen_metrics(wanted: str | None, pairs) -> list[str]:
    """:raises P2botError: for a metric that one of them lacks."""
    common = set.intersection(
        *({name for pair in pairs for name in pair[system].metrics} for system in (0, 1))
    )
    if all(pair[0].ngrams and pair[1].ngrams for pair in pairs):
        common |= set(DISTINCT)
    if wanted == ALL:
        return sorted(common)
    if wanted is None:
        return [name for name in METRICS if name in common] or sorted(common)
    names = wanted.split(",")
    for name in names:
        if name not in common:
            raise P2botError(
                f"--compare-metrics {name}: both have {', '.join(sorted(common)) or 'none'}"
            )
    return names


def compare_all(
    first: list[Example], second: list[Example], opt: Opt
) -> dict[str, list[Comparison]]:
    """Comparisons by task. :raises P2botError: if the two have no example in common."""
    pairs = pair_up(first, second)
    if not pairs:
        raise P2botError(
            f"{' and '.join(opt['compared'])} have no example in common: their tasks, "
            "personas or folds differ"
        )
    left = (len(first) - len(pairs), len(second) - len(pairs))
    if any(left):
        logging.warning(
            f"{len(pairs)} examples are in both, {left[0]} only in A, {left[1]} only in B"
        )
    found = {}
    for task in dict.fromkeys(pair[0].task for pair in pairs):
        own = [pair for pair in pairs if pair[0].task == task]
        metrics = chosen_metrics(opt["compare_metrics"], own)
        if not metrics:
            raise P2botError(f"{' and '.join(opt['compared'])} have no metric in common on {task}")
        found[task] = compare(own, metrics, opt["seed"], opt["resamples"], opt["unit"])
    return found


def format_table(task: str, rows: list[Comparison], unit: str) -> str:
    """One line per metric; * means p < 0.05."""
    lines = [
        (
            row.metric,
            f"{row.first:.4g}",
            f"{row.second:.4g}",
            f"{row.difference:+.4g}",
            f"[{row.low:+.4g}, {row.high:+.4g}]",
            f"{row.p:.4f}",
            "*" if row.p < 0.05 else "",
        )
        for row in rows
    ]
    header = ("metric", "A", "B", "B - A", "95% interval", "p", "")
    return f"{task}: {max(row.units for row in rows)} {unit}s\n{laid_out(header, lines)}"


@register_script("compare")
class Compare(ParlaiScript):
    """Compare two models on the same examples: differences, 95% intervals, p (docs/metrics.md)."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = eval_args(ParlaiParser(True, True, "Compare two models on the same examples"))
        group = parser.add_argument_group("Compare")
        group.add_argument(
            "compared",
            nargs="*",
            metavar="MODEL_OR_DUMP",
            help="Two model files, or two files of parlai eval_model --world-logs, or one of each",
        )
        group.add_argument(
            "--compare-metrics",
            help="Metrics to compare, comma-separated, or all; default: those of docs/metrics.md "
            "that both have",
        )
        group.add_argument(
            "--resamples",
            type=int,
            default=9999,
            help="Number of bootstrap resamples and of permutations",
        )
        group.add_argument(
            "--unit",
            choices=UNITS,
            default="dialogue",
            help="What to resample: whole dialogues, whose turns are not independent, or turns",
        )
        group.add_argument("--seed", type=int, default=42, help="Seed of the resampling")
        group.add_argument(
            "--dump-folder",
            help="Folder to keep the world logs of the evaluated models in, as A.jsonl and B.jsonl",
        )
        add_persona_metrics_options(parser)
        return parser

    def run(self):
        opt = self.opt
        check_options(opt)
        if opt["report_filename"]:
            check_place(opt["report_filename"], "--report-filename")
        with tempfile.TemporaryDirectory() as temporary:
            folder = opt["dump_folder"] or temporary
            check_place(os.path.join(folder, "A.jsonl"))
            both = [
                examples_of(opt, path, os.path.join(folder, f"{letter}.jsonl"))
                for letter, path in zip("AB", opt["compared"], strict=True)
            ]
        found = compare_all(*both, opt)
        print("\n".join(f"{letter}: {path}" for letter, path in zip("AB", opt["compared"])))  # noqa: B905
        for task, rows in found.items():
            print("\n" + format_table(task, rows, opt["unit"]))
        if opt["report_filename"]:
            plain = {task: [asdict(row) for row in rows] for task, rows in found.items()}
            write_json(opt["report_filename"], {"compared": opt["compared"], "tasks": plain})
        return found
