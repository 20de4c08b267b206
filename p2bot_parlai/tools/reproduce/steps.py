"""
Which commands the tables need: a graph of named steps, each once however many tables use it.

A name is what the step does, what it is trained on ("both", "original" or "revised" personas)
and the seed, as in ``P2Bot-S.both.seed1``; evaluations add the personas that they read.
"""

import json
import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from p2bot_parlai import zoo
from p2bot_parlai.method.reward_models import REWARDS
from p2bot_parlai.tasks.selfplay.agents import DEFAULT_DIALOGUES
from p2bot_parlai.tasks.sketch import corpus
from p2bot_parlai.tools.reproduce.presets import BASELINES, PROMPTED, RANKED, VARIANTS, Preset
from p2bot_parlai.tools.reproduce.running import Step, arguments

OURS = "P²Bot"
# supervised rows of Table 3 -> (name of the step, variant of the task if not the training's,
# options)
SUPERVISED = {
    "P²Bot-S": ("P2Bot-S", "", {}),
    "- Persona": ("no-persona", "none", {}),
    "- Next": ("no-next", "", {"nup_coef": 0, "alpha": 1, "rank_by": "likelihood"}),
}
# rows of self-play, each with one reward more -> name of the step
REWARDED = {"+ RS.1": "RS1", "+ RS.2": "RS2", "+ RS.3": "P2Bot"}
BEST = list(REWARDED)[-1]  # P²Bot itself
# full validation is for the evaluations that follow
SHORT = {"validation_max_exs": 64, "short_final_eval": True}
QUICK = {**SHORT, "skip_generation": True}
# of the longest evaluation batches, and what ParlAI's IR agent can do
BATCH, IR_BATCH = 16, 1
# of the sketch corpus at any scale: a ninth, for validation, has 44 people; 32 are needed
LEAST_DIALOGUES = 2000
# contexts of Table 4
ANSWERED = 5
# the answers of an evaluation, beside its report
DUMP = "answers.jsonl"
# what a limited time is shared by: script -> how a step begins -> parts
SHARES = {
    "train_model": {"P2Bot-S": 6, "P2Bot": 4, "Receiver": 2, "else": 4},
    "eval_model": {"else": 1.5},
    "perception_table": {"else": 0.3},  # for each ranker and task
    "calibrate_receiver": {"else": 0.3},
}
# seconds in which a step has imported torch, read its models, and ended
STARTING = 20


def as_command(step: Step) -> str:
    """What one would type."""
    return shlex.join(["parlai", *step.command])


@dataclass(frozen=True)
class Size:
    """
    :param seeds: of every training.
    :param scale: share of the training (updates, epochs, dialogues of self-play) that is done.
    :param examples: validation examples an evaluation; -1: all.
    :param precision: of our trainings, and so of their evaluation; "": the presets'.
    :param nli_model: of the C-score; "": there is none.
    :param minutes: that everything shall take together; 0: as long as it takes.
    """

    seeds: tuple[int, ...] = (1,)
    scale: float = 1.0
    examples: int = -1
    precision: str = ""
    nli_model: str = ""
    minutes: float = 0


class Plan:
    """
    The steps of ``tables``, in an order in which they can be run.

    ``measured[table][row, variant]`` are the reports with the figures, one a seed.
    """

    def __init__(
        self, preset: Preset, tables: Sequence[str], folder: Path, datapath: Path, size: Size
    ):
        self.preset, self.folder, self.datapath, self.size = preset, folder, datapath, size
        self.steps: dict[str, Step] = {}
        weights = _stored(f"p2bot/{preset.stages}_selfplay")
        # the rewards that are on, in the order in which Table 3 adds them
        self.added = [n for n, r in REWARDS.items() if weights.get(f"lambda_{n}", r.weight)]
        self.measured: dict[str, dict[tuple[str, str], list[Path]]] = {t: {} for t in tables}
        self.dialogues: Path | None = None
        self.answers: Path | None = None  # Table 4
        self.maps: list[Path] = []  # Figure 6
        make = {"1": self._table1, "3": self._table3, "4": self._table4, "5": self._table5}
        for seed in size.seeds:
            for table in tables:
                make[table](seed)
            if "1" in tables:  # last, as they say least
                self._baselines(seed)
        if size.minutes:
            self._share_time(60 * size.minutes)

    # ------------------------------------------------------------------ tables
    def _table1(self, seed: int) -> None:
        for variant in VARIANTS:
            trained_on = self.preset.trained_on[variant]
            for row in self._systems(("P²Bot-S", OURS, "- Persona")):
                self._measure("1", row, self.ours(row, trained_on, seed), variant)
        if self.preset.prompted and self._systems((PROMPTED,)) and seed == self.size.seeds[0]:
            for variant in VARIANTS:
                options = self._judged(self.preset.prompted)
                self._evaluate("1", PROMPTED, "prompted", variant, options)
        self._sample(seed)

    def _baselines(self, seed: int) -> None:
        for variant in VARIANTS:
            for row in self._systems(BASELINES):
                model = self.baseline(row, self.preset.trained_on[variant], seed)
                bs = {"batchsize": IR_BATCH} if row == "IR" else {}
                options = {"model_file": self.model(model), **bs}
                self._evaluate("1", row, model, variant, options, [model])

    def _table3(self, seed: int) -> None:
        trained_on = self.preset.trained_on["revised"]
        for row in self.preset.rows or (*SUPERVISED, *RANKED, *REWARDED):
            base, options = RANKED.get(row, (row, {}))
            self._measure("3", row, self.ours(base, trained_on, seed), "revised", options)
        self._sample(seed)

    def _table4(self, seed: int) -> None:
        """Answers of the human, the baselines and the first seed's P²Bot to the same contexts."""
        if self.answers:
            return
        trained_on = self.preset.trained_on["original"]
        models = {row: self.baseline(row, trained_on, seed) for row in self._systems(BASELINES)}
        models[OURS] = self.selfplay(BEST, trained_on, seed)
        name = f"answers.{_named(trained_on)}.seed{seed}"
        self.answers = self.file(name, "answers.jsonl")
        options = {"task": f"{self.preset.source}:self_original", "number": ANSWERED}
        options |= {"seed": seed, "outfile": self.answers.with_suffix("")}
        options["systems"] = tuple(f"{row}={self.model(model)}" for row, model in models.items())
        self._add(name, "sample_answers", options, list(models.values()), [self.answers])

    def _table5(self, seed: int) -> None:
        for trained_on in dict.fromkeys(self.preset.trained_on.values()):
            read = [v for v in VARIANTS if self.preset.trained_on[v] == trained_on]
            receiver = self.receiver(trained_on, seed)
            name = f"perception.{receiver}"
            tasks = self._tasks([f"self_{v}" for v in read]).split(",")
            report = self.file(name, "report.json")
            # the task is named too, so that its own options are known to the command
            options = {"task": f"p2bot:persona_perception:{tasks[0]}"}
            options |= {"perception_tasks": ",".join(tasks), "model_file": self.model(receiver)}
            options |= {"batchsize": BATCH, **self._examples(), "report_filename": report}
            options["world_logs"] = self.file(name, DUMP)
            self._add(name, "perception_table", options, [receiver], [report])
            for variant in read:
                self.measured["5"].setdefault(("Receiver", variant), []).append(report)
                if seed == self.size.seeds[0]:
                    self._map(receiver, variant)

    def _map(self, receiver: str, variant: str) -> None:
        """Figure 6: a validation dialogue as the first seed's Receiver sees it."""
        name = f"map.{receiver}.{variant}"
        self.maps.append(self.file(name, "map.svg"))
        options = {"task": f"{self.preset.source}:self_{variant}", "outfile": self.maps[-1]}
        options |= {"model_file": self.model(receiver)}
        self._add(name, "relevance_map", options, [receiver], [self.maps[-1]])

    # ------------------------------------------------------------------ trainings
    def ours(self, row: str, trained_on: Sequence[str], seed: int) -> str:
        """The model of a row of Table 3, or of P²Bot."""
        if row in SUPERVISED:
            return self.transmitter(row, trained_on, seed)
        return self.selfplay(BEST if row == OURS else row, trained_on, seed)

    def transmitter(self, row: str, trained_on: Sequence[str], seed: int) -> str:
        """P²Bot-S: supervised alone (section 3.1); its ablations."""
        name, variant, options = SUPERVISED[row]
        task = self._tasks([variant] if variant else trained_on)
        return self._stage(
            "transmitter", name, trained_on, seed, {"task": task, **options, **QUICK}
        )

    def receiver(self, trained_on: Sequence[str], seed: int) -> str:
        """The Receiver (section 4)."""
        behind = self._tasks(trained_on).split(",")
        tasks = ",".join(f"p2bot:persona_perception:{task}" for task in behind)
        return self._stage("receiver", "Receiver", trained_on, seed, {"task": tasks, **SHORT})

    def selfplay(self, row: str, trained_on: Sequence[str], seed: int) -> str:
        """Self-play from P²Bot-S with the rewards of a row of Table 3 (section 3.2)."""
        # a fourth reward, which the paper does not have, is on in every row
        name, off = REWARDED[row], self.added[list(REWARDED).index(row) + 1 : len(REWARDED)]
        if name in self.preset.trained:
            return _step(name, trained_on, seed)
        task = self._tasks(trained_on[:1])
        needs = [self.transmitter("P²Bot-S", trained_on, seed)]
        options = {"task": f"p2bot:selfplay:{task}", "evaltask": task}
        options |= {"init_model": self.model(needs[0])}
        if any(REWARDS[name].needs_receiver for name in self.added if name not in off):
            needs.append(self.receiver(trained_on, seed))
            options["receiver"] = self.model(needs[1])
            if "coverage" in self.added and "coverage" not in off:
                needs.append(self._calibrated(needs[1], task))
        options |= {f"lambda_{reward}": 0 for reward in off} | QUICK
        return self._stage("selfplay", name, trained_on, seed, options, needs)

    def _calibrated(self, receiver: str, task: str) -> str:
        """What the coverage reward asks of a Receiver, on dialogues that no figure is of."""
        options = {"task": f"p2bot:persona_perception:{task}", "model_file": self.model(receiver)}
        options |= {"eval_dialogues": self.preset.chosen_on} if self.preset.chosen_on else {}
        return self._add(f"calibrate.{receiver}", "calibrate_receiver", options, [receiver], ())

    def baseline(self, row: str, trained_on: Sequence[str], seed: int) -> str:
        """A row of Table 1 that is not ours (docs/baselines.md)."""
        name, more = BASELINES[row], {}
        preset = f"{self.preset.baselines}_{name}"
        if row == "Transfertransfo":
            preset, more = self.preset.transfertransfo
        options = {"o": f"p2bot/{preset}", "task": self._tasks(trained_on), **more, **SHORT}
        options |= self.preset.options.get("baselines", {})
        return self._train(_step(name, trained_on, seed), options, seed)

    def _stage(
        self,
        stage: str,
        name: str,
        trained_on: Sequence[str],
        seed: int,
        options: dict,
        needs: Sequence[str] = (),
    ) -> str:
        preset = {"o": f"p2bot/{self.preset.stages}_{stage}"}
        options = {**preset, **options, **self.preset.options.get(stage, {})}
        options |= {"precision": self.size.precision} if self.size.precision else {}
        return self._train(_step(name, trained_on, seed), options, seed, needs)

    def _train(self, name: str, options: dict, seed: int, needs: Sequence[str] = ()) -> str:
        if self._given(name):
            return name
        if self.size.scale != 1:
            smaller = self._corpus_size() / corpus.DIALOGUES  # an epoch is shorter already
            options |= scaled(_stored(options["o"]) | options, self.size.scale, smaller)
        model = self.file(name, "model")
        options |= {"seed": seed, "save_every_n_secs": self.preset.save_every}
        options |= {"log_every_n_steps": 20, "model_file": model}
        options |= {"validation_max_exs": BATCH} if self.size.minutes else {}
        # the report comes last: after SIGTERM a training ends with status 0 and has none
        made = [model, model.with_name(f"{model.name}.test")]
        return self._add(name, "train_model", options, needs, made, "*.checkpoint*")

    # ------------------------------------------------------------------ evaluations
    def _measure(
        self, table: str, row: str, model: str, variant: str, more: Mapping = MappingProxyType({})
    ) -> None:
        """A row of a model of ours. :param more: options that the model was not saved with."""
        options = {"model_file": self.model(model), **self._judged(more)}
        self._evaluate(table, row, model, variant, options, [model], more.get("rank_by", ""))

    def _evaluate(
        self,
        table: str,
        row: str,
        system: str,
        variant: str,
        options: dict,
        needs: Sequence[str] = (),
        ranked: str = "",
    ) -> None:
        """:param ranked: how, where that is another evaluation of the same system."""
        read = "none" if row == "- Persona" else f"self_{variant}"
        name = ".".join(filter(None, ("eval", system, read, ranked)))
        report, dump = self.file(name, "report.json"), self.file(name, DUMP)
        options = {"task": f"{self.preset.source}:{read}", "batchsize": BATCH, **options}
        options |= {**self._examples(), "report_filename": report, "world_logs": dump}
        self._add(name, "eval_model", options, needs, [report, dump])
        self.measured[table].setdefault((row, variant), []).append(report)

    def _judged(self, options: Mapping) -> dict:
        """These options, the precision, and metrics about the persona of what is generated."""
        more = {} if options.get("skip_generation") else {"persona_metrics": True}
        more |= {"nli_model": self.size.nli_model} if more and self.size.nli_model else {}
        more |= {"precision": self.size.precision} if self.size.precision else {}
        return {**options, **more}

    def _sample(self, seed: int) -> None:
        """Dialogues of self-play for the report, by the first seed's P²Bot."""
        if self.dialogues:
            return
        trained_on = self.preset.trained_on["revised"]
        model, receiver = self.selfplay(BEST, trained_on, seed), self.receiver(trained_on, seed)
        name = f"dialogues.{model}"
        self.dialogues = self.file(name, "dialogues.jsonl")
        options = {"task": f"p2bot:selfplay:{self._tasks(trained_on[:1])}", "num_dialogues": 2}
        options |= {"model_file": self.model(model), "receiver": self.model(receiver)}
        options |= {"outfile": self.dialogues.with_suffix("")}
        self._add(name, "selfplay_transcript", options, [model], [self.dialogues])

    # ------------------------------------------------------------------ parts
    def model(self, name: str) -> Path | str:
        """The model file of a training, or the model that takes its place."""
        return self._given(name) or self.file(name, "model")

    def leave_out(self, names: Collection[str]) -> None:
        """The steps with these names, of which there is nothing to report yet."""
        lost = {file for name in names for file in self.steps.pop(name).makes}
        for rows in self.measured.values():
            for place, files in list(rows.items()):
                rows[place] = [file for file in files if file not in lost]
        self.maps = [file for file in self.maps if file not in lost]
        self.answers = None if self.answers in lost else self.answers
        self.dialogues = None if self.dialogues in lost else self.dialogues

    def _given(self, name: str) -> str:
        return self.preset.trained.get(name.partition(".")[0], "")

    def file(self, step: str, name: str) -> Path:
        """A file in the folder of a step."""
        return self.folder / "steps" / step / name

    def _add(
        self,
        name: str,
        script: str,
        options: dict,
        needs: Sequence[str],
        makes: Sequence[Path],
        scrap: str = "",
    ) -> str:
        options = {**options, "datapath": self.datapath}
        if self._corpus_size() != corpus.DIALOGUES:
            options["sketch_dialogues"] = self._corpus_size()
        settings = json.dumps(_stored(options["o"])) if "o" in options else ""
        command = arguments(script, options)
        needs = [need for need in needs if not self._given(need)]
        self.steps[name] = Step(name, command, tuple(needs), tuple(makes), settings, scrap)
        return name

    def _corpus_size(self) -> int:
        """Dialogues of ``p2bot:sketch`` to train on; its people must do for Table 5's lists."""
        scale = self.size.scale if self.preset.source == "p2bot:sketch" else 1
        return max(LEAST_DIALOGUES, round(corpus.DIALOGUES * scale))

    def _tasks(self, variants: Sequence[str]) -> str:
        return ",".join(f"{self.preset.source}:{variant}" for variant in variants)

    def _examples(self) -> dict:
        found: dict = {} if self.size.examples < 0 else {"num_examples": self.size.examples}
        return found | ({"eval_dialogues": self.preset.dialogues} if self.preset.dialogues else {})

    def _systems(self, rows: Sequence[str]) -> list[str]:
        return [row for row in rows if row in (self.preset.systems or rows)]

    def _share_time(self, seconds: float) -> None:
        """Give trainings and evaluations what `STARTING` every step leaves, by `SHARES`."""
        shares = {name: SHARES.get(step.command[0], {}) for name, step in self.steps.items()}
        shares = {n: s.get(n.partition(".")[0], s["else"]) for n, s in shares.items() if s}
        left = max(seconds / 4, seconds - STARTING * len(self.steps)) / sum(shares.values())
        for name, share in shares.items():
            step, limit = self.steps[name], math.ceil(share * left)
            option = "--max-train-time" if step.command[0] == "train_model" else "--max-eval-time"
            self.steps[name] = replace(step, command=(*step.command, option, str(limit)))


def _step(name: str, trained_on: Sequence[str], seed: int) -> str:
    return f"{name}.{_named(trained_on)}.seed{seed}"


def _named(trained_on: Sequence[str]) -> str:
    return "both" if len(trained_on) == 2 else trained_on[0].removeprefix("self_")


def _stored(preset: str) -> dict:
    path = Path(zoo.__file__).parent / f"{preset.removeprefix('p2bot/')}.opt"
    return json.loads(path.read_text(encoding="utf-8"))


def scaled(options: Mapping, scale: float, smaller: float = 1.0) -> dict:
    """
    The limits of a training, and its warm-up, times ``scale``.

    :param smaller: size of the data relative to what the options are for.
    """
    found: dict = {}
    if "selfplay" in options["o"]:
        options = {"selfplay_dialogues": DEFAULT_DIALOGUES, **options}
    elif options.get("num_epochs", -1) > 0:
        found["num_epochs"] = round(options["num_epochs"] * scale / smaller, 6)
    for name in ("max_train_steps", "warmup_updates", "selfplay_dialogues"):
        if options.get(name, -1) > 0:
            found[name] = max(1, round(options[name] * scale))
    return found
