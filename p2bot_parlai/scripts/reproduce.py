"""
``parlai reproduce``: Tables 1, 3, 4 and 5 of the paper, from training to the report.

Finished steps are not run again: to resume, repeat the command.
"""

import math
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.tools.figures import check_drawing
from p2bot_parlai.tools.report import laid_out
from p2bot_parlai.tools.reproduce.presets import PRESETS, TABLES, in_minutes
from p2bot_parlai.tools.reproduce.running import Runner

if TYPE_CHECKING:  # transformers takes seconds to import, and every ``parlai`` command imports this
    from p2bot_parlai.tools.reproduce.steps import Plan

TERMINATED = 128 + signal.SIGTERM


def make_plan(opt: Opt) -> "Plan":
    """:raises UsageError: for values that can never work."""
    from p2bot_parlai.tools.reproduce.steps import Plan, Size

    if opt["preset"] not in PRESETS:
        given = f"--preset {opt['preset']}" if opt["preset"] else "--preset is missing"
        raise UsageError(f"{given}: choose from {', '.join(PRESETS)}")
    preset = PRESETS[opt["preset"]]
    if opt["minutes"] is not None:
        if not (math.isfinite(opt["minutes"]) and opt["minutes"] > 0):
            raise UsageError(f"--minutes {opt['minutes']} is not above 0")
        if opt["scale"] != 1:
            raise UsageError("--minutes and --scale both limit the training: give one of them")
        preset = in_minutes(preset)
    tables = _unique((opt["table"] or ",".join(preset.tables)).split(","))
    for table in tables:
        if table not in TABLES:
            raise UsageError(f"--table {table}: choose from {', '.join(TABLES)}")
    given = opt["seeds"] or preset.seeds
    try:
        seeds = tuple(_unique(int(seed) for seed in given.split(",")))
    except ValueError:
        raise UsageError(f"--seeds {given}: numbers separated by commas") from None
    if min(seeds) < 0:
        raise UsageError(f"--seeds {given}: a seed is negative")
    if not (math.isfinite(opt["scale"]) and 0 < opt["scale"] <= 1):
        raise UsageError(f"--scale {opt['scale']} is not above 0 and at most 1")
    examples = preset.examples if opt["examples"] is None else opt["examples"]
    if examples == 0 or examples < -1:
        raise UsageError(f"--examples {examples}: a positive number, or -1 for all")
    folder = Path(opt["outfile_folder"] or Path("reproduced") / opt["preset"])
    given = (opt["precision"] or "", opt["nli_model"] or "", opt["minutes"] or 0)
    size = Size(seeds, opt["scale"], examples, *given)
    return Plan(preset, tables, folder, Path(opt["datapath"]), size)


def _unique(values) -> list:
    return list(dict.fromkeys(values))


def command(preset: str, plan: "Plan") -> str:
    """The command that repeats this run."""
    size = plan.size
    words = ["parlai", "reproduce", "--preset", preset, "--table", ",".join(plan.measured)]
    words += ["--seeds", ",".join(map(str, size.seeds)), "--examples", str(size.examples)]
    words += ["--scale", f"{size.scale:g}"] if size.scale != 1 else []
    words += ["--precision", size.precision] if size.precision else []
    words += ["--nli-model", size.nli_model] if size.nli_model else []
    words += ["--minutes", f"{size.minutes:g}"] if size.minutes else []
    words += ["-dp", str(plan.datapath), "--outfile-folder", str(plan.folder)]
    return shlex.join(words)


@register_script("reproduce")
class Reproduce(ParlaiScript):
    """Tables 1, 3, 4 and 5 of the paper over several seeds; it resumes, and writes a report."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(
            True, False, "Reproduce Tables 1, 3, 4 and 5 of the paper, with a report"
        )
        group = parser.add_argument_group("Reproduce")
        group.add_argument(
            "--preset",
            help=f"Models and data: {', '.join(PRESETS)} (docs/reproduce.md)",
        )
        group.add_argument(
            "--table",
            help=f"Tables to make, separated by commas: {', '.join(TABLES)}; default: the preset's",
        )
        group.add_argument(
            "--seeds",
            help="Seeds of the trainings, separated by commas; figures are means over them; "
            "default: the preset's",
        )
        group.add_argument(
            "--outfile-folder",
            help="Folder of models, logs and report; default: reproduced/<preset>",
        )
        group.add_argument(
            "--examples",
            type=int,
            help="Validation examples that an evaluation reads, -1: all; default: the preset's",
        )
        group.add_argument(
            "--scale",
            type=float,
            default=1.0,
            help="Share of every training that is done, for a trial; figures are then no results",
        )
        group.add_argument(
            "--minutes",
            type=float,
            help="Share so many minutes among the three stages and their evaluation, without "
            "ablations and baselines; how far they came is in the report",
        )
        group.add_argument(
            "--precision",
            choices=("fp32", "bf16"),
            help="Of the three stages (docs/backbones.md); default: the presets'",
        )
        group.add_argument(
            "--nli-model",
            help="Model file of a trained classifier (-m p2bot/persona_nli), for the C-score of "
            "our models and of people (docs/metrics.md)",
        )
        group.add_argument(
            "--dry-run", type="bool", default=False, help="Print the commands and run nothing"
        )
        return parser

    def run(self):
        from p2bot_parlai.tools.reproduce import report
        from p2bot_parlai.tools.reproduce.steps import as_command

        plan = make_plan(self.opt)
        typed = command(self.opt["preset"], plan)
        runner = Runner(plan.folder, list(plan.steps.values()), jobs=plan.preset.jobs)
        if self.opt["dry_run"]:
            print("\n".join(as_command(step) for step in runner.steps))
            return runner.steps
        check_drawing("report.svg")
        # a job system's time limit acts like Ctrl-C: the running steps are ended, too
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
        try:
            runner.run()
        except OSError as error:
            raise P2botError(f"--outfile-folder {plan.folder}: {error.strerror}") from error
        finally:
            signal.signal(signal.SIGTERM, before)
            # of what is done, also where the run was stopped
            plan.leave_out([step.name for step in runner.steps if not runner.done(step)])
            tables = report.write(plan, runner, typed) if plan.steps else []
        for table in tables:
            print(f"\n{table.title}\n{laid_out(table.header, table.rows)}")
        print(f"\nfigures in brackets are the paper's; report: {plan.folder / 'report.html'}")
        return tables
