"""
Which commands the tables need: a graph of named steps, each once however many tables use it.

A name is what the step does, the training (`Preset.trainings`) and the seed, as in
``P2Bot-S.both.seed1``; evaluations add the personas that they read.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2bot_parlai import zoo
from p2bot_parlai.tasks.selfplay.agents import DEFAULT_DIALOGUES
from p2bot_parlai.tasks.sketch import corpus
from p2bot_parlai.tools.reproduce.commands import QUICK, SHORT, arguments
from p2bot_parlai.tools.reproduce.presets import BASELINES, VARIANTS, Preset
from p2bot_parlai.tools.reproduce.running import Step

TABLES = ("1", "3", "4", "5")
OURS, SUPERVISED = "P²Bot", "P²Bot-S"
# row of Table 3 -> (name of its steps, what its supervised training is given)
ABLATED = {
    "- Persona": ("no-persona", {}),
    "- Next": ("no-next", {"nup_coef": 0, "alpha": 1, "rank_by": "likelihood"}),
}
# row -> (name of its steps, the rewards that it is not given)
REWARDED = {
    "+ RS.1": ("RS1", ("coherence", "persona")),
    "+ RS.2": ("RS2", ("persona",)),
    "+ RS.3": ("P2Bot", ()),
}
# of the longest evaluation batches, and what ParlAI's IR agent can do
BATCH, IR_BATCH = 16, 1
# of the sketch corpus at any scale: a ninth, for validation, has 44 people; 32 are needed
LEAST_DIALOGUES = 2000
# contexts of Table 4
ANSWERED = 5


def as_command(step: Step) -> str:
    """What one would type."""
    return shlex.join(["parlai", *step.command])


@dataclass(frozen=True)
class Size:
    """
    :param seeds: of every training.
    :param scale: share of the training (updates, epochs, dialogues of self-play) that is done.
    :param examples: validation examples an evaluation; -1: all.
    """

    seeds: tuple[int, ...] = (1,)
    scale: float = 1.0
    examples: int = -1


class Plan:
    """
    The steps of ``tables``, in an order in which they can be run.

    ``measured[table][row, variant]`` are the files that the figures stand in, one a seed.
    """

    def __init__(
        self, preset: Preset, tables: Sequence[str], folder: Path, datapath: Path, size: Size
    ):
        self.preset, self.folder, self.datapath, self.size = preset, folder, datapath, size
        self.steps: dict[str, Step] = {}
        self.measured: dict[str, dict[tuple[str, str], list[Path]]] = {t: {} for t in tables}
        self.dialogues: Path | None = None
        self.answers: Path | None = None  # Table 4
        self.maps: list[Path] = []  # Figure 6
        for seed in size.seeds:
            for table in tables:
                make = {"1": self._table1, "3": self._table3, "4": self._table4}
                make.get(table, self._table5)(seed)

    # ------------------------------------------------------------------ tables
    def _table1(self, seed: int) -> None:
        for variant in VARIANTS:
            training = self.preset.training_for[variant]
            for row in BASELINES:
                bs = IR_BATCH if row == "IR" else BATCH
                self._measure("1", row, self.baseline(row, training, seed), variant, bs)
            self._measure("1", OURS, self.selfplay("+ RS.3", training, seed), variant)
        self._sample(seed)

    def _table3(self, seed: int) -> None:
        training = self.preset.training_for["revised"]
        self._measure("3", SUPERVISED, self.transmitter(training, seed), "revised")
        for row in ABLATED:
            model = self.ablated(row, training, seed)
            read = "none" if row == "- Persona" else None
            self._measure("3", row, model, "revised", read=read)
        for row in REWARDED:
            self._measure("3", row, self.selfplay(row, training, seed), "revised")
        self._sample(seed)

    def _table4(self, seed: int) -> None:
        """Answers of the human, the baselines and the first seed's P²Bot to the same contexts."""
        if self.answers:
            return
        training = self.preset.training_for["original"]
        models = {row: self.baseline(row, training, seed) for row in BASELINES}
        models[OURS] = self.selfplay("+ RS.3", training, seed)
        name = f"answers.{training}.seed{seed}"
        self.answers = self.file(name, "answers.jsonl")
        options = {"task": f"{self.preset.source}:self_original", "number": ANSWERED}
        options |= {"seed": seed, "outfile": self.answers.with_suffix("")}
        systems = tuple(f"{row}={self.model(model)}" for row, model in models.items())
        needs = list(models.values())
        self._add(name, "sample_answers", options, needs, [self.answers], systems=systems)

    def _table5(self, seed: int) -> None:
        for training in dict.fromkeys(self.preset.training_for.values()):
            read = [v for v in VARIANTS if self.preset.training_for[v] == training]
            receiver = self.receiver(training, seed)
            name = f"perception.{receiver}"
            tasks = [f"{self.preset.source}:self_{v}" for v in read]
            report = self.file(name, "report.json")
            # the task is named too, so that its own options are known to the command
            options = {"task": f"p2bot:persona_perception:{tasks[0]}"}
            options |= {"perception_tasks": ",".join(tasks), "batchsize": BATCH}
            options |= self._examples() | {"report_filename": report}
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
    def transmitter(self, training: str, seed: int) -> str:
        """P²Bot-S: supervised alone (section 3.1)."""
        return self._supervised("P2Bot-S", training, seed, self._tasks(training), {})

    def ablated(self, row: str, training: str, seed: int) -> str:
        name, options = ABLATED[row]
        tasks = f"{self.preset.source}:none" if row == "- Persona" else self._tasks(training)
        return self._supervised(name, training, seed, tasks, options)

    def _supervised(self, name: str, training: str, seed: int, tasks: str, options: dict) -> str:
        chosen = {"o": self._stage("transmitter", training), "task": tasks, **options, **QUICK}
        return self._train(f"{name}.{training}.seed{seed}", chosen, seed)

    def receiver(self, training: str, seed: int) -> str:
        """The Receiver (section 4)."""
        behind = self._tasks(training).split(",")
        tasks = ",".join(f"p2bot:persona_perception:{task}" for task in behind)
        options = {"o": self._stage("receiver", training), "task": tasks, **SHORT}
        return self._train(f"Receiver.{training}.seed{seed}", options, seed)

    def selfplay(self, row: str, training: str, seed: int) -> str:
        """Self-play from P²Bot-S with the rewards of a row of Table 3 (section 3.2)."""
        name, without = REWARDED[row]
        task = f"{self.preset.source}:{self.preset.trainings[training][0]}"
        start = self.transmitter(training, seed)
        options = {"o": self._stage("selfplay", training), "task": f"p2bot:selfplay:{task}"}
        options |= {"evaltask": task, "init_model": self.model(start)}
        needs = [start]
        if "persona" not in without:
            needs.append(self.receiver(training, seed))
            options["receiver"] = self.model(needs[-1])
        options |= {f"lambda_{reward}": 0 for reward in without} | QUICK
        if self.size.scale != 1:
            options["selfplay_dialogues"] = max(1, round(DEFAULT_DIALOGUES * self.size.scale))
        return self._train(f"{name}.{training}.seed{seed}", options, seed, needs)

    def baseline(self, row: str, training: str, seed: int) -> str:
        """A row of Table 1 that is not ours (docs/baselines.md)."""
        name = BASELINES[row]
        preset, more = f"{self.preset.baselines}_{name}", {}
        if row == "Transfertransfo":
            preset, more = self.preset.transfertransfo
        options = {"o": f"p2bot/{preset}", "task": self._tasks(training), **more, **SHORT}
        return self._train(f"{name}.{training}.seed{seed}", options, seed)

    def _train(self, name: str, options: dict, seed: int, needs: Sequence[str] = ()) -> str:
        stored = self._stored(options["o"])
        if self.size.scale != 1:
            smaller = self.corpus_size() / corpus.DIALOGUES  # an epoch is shorter already
            options = {**options, **scaled(stored | options, self.size.scale, smaller)}
        options |= {"seed": seed, "save_every_n_secs": self.preset.save_every}
        options |= {"log_every_n_steps": 20, "model_file": self.model(name)}
        model = self.model(name)
        # the report comes last: after SIGTERM a training ends with status 0 and has none
        made = [model, model.with_name(f"{model.name}.test")]
        return self._add(name, "train_model", options, needs, made, ("*.checkpoint*",))

    # ------------------------------------------------------------------ evaluations
    def _measure(
        self,
        table: str,
        row: str,
        model: str,
        variant: str,
        batchsize: int = BATCH,
        read: str | None = None,
    ) -> None:
        """:param read: variant of the task where it is not ``variant``'s."""
        read = read or f"self_{variant}"
        name = f"eval.{model}.{read}"
        report = self.file(name, "report.json")
        options = {"task": f"{self.preset.source}:{read}", "model_file": self.model(model)}
        options |= {"batchsize": batchsize, **self._examples(), "report_filename": report}
        self._add(name, "eval_model", options, [model], [report])
        self.measured[table].setdefault((row, variant), []).append(report)

    def _sample(self, seed: int) -> None:
        """Dialogues of self-play for the report, by the first seed's P²Bot."""
        if self.dialogues:
            return
        training = self.preset.training_for["revised"]
        model = self.selfplay("+ RS.3", training, seed)
        task = f"{self.preset.source}:{self.preset.trainings[training][0]}"
        name = f"dialogues.{model}"
        self.dialogues = self.file(name, "dialogues.jsonl")
        options = {"task": f"p2bot:selfplay:{task}", "model_file": self.model(model)}
        options |= {"receiver": self.model(f"Receiver.{training}.seed{seed}"), "num_dialogues": 2}
        options |= {"outfile": self.dialogues.with_suffix("")}
        self._add(name, "selfplay_transcript", options, [model], [self.dialogues])

    # ------------------------------------------------------------------ parts
    def model(self, name: str) -> Path:
        return self.file(name, "model")

    def file(self, step: str, name: str) -> Path:
        return self.folder / "steps" / step / name

    def _add(self, name, script, options, needs=(), makes=(), scrap=(), systems=()) -> str:
        """:param systems: values of ``--systems``, which takes several."""
        options = {**options, "datapath": self.datapath}
        if script == "perception_table":
            options["model_file"] = self.model(needs[0])
        if self.size.scale != 1 and self.preset.source == "p2bot:sketch":
            options["sketch_dialogues"] = self.corpus_size()
        settings = json.dumps(self._stored(options["o"])) if "o" in options else ""
        command = (*arguments(script, options), *(("--systems", *systems) if systems else ()))
        step = Step(name, command, tuple(needs), tuple(makes), settings, tuple(scrap))
        self.steps[name] = step
        return name

    def corpus_size(self) -> int:
        """Dialogues of ``p2bot:sketch`` to train on; its people must do for Table 5's lists."""
        if self.preset.source != "p2bot:sketch":
            return corpus.DIALOGUES
        return max(LEAST_DIALOGUES, round(corpus.DIALOGUES * self.size.scale))

    def _stage(self, stage: str, training: str) -> str:
        name = self.preset.presets[stage].format("_revised" if training == "revised" else "")
        return f"p2bot/{name}"

    def _stored(self, preset: str) -> dict:
        path = Path(zoo.__file__).parent / f"{preset.removeprefix('p2bot/')}.opt"
        return json.loads(path.read_text(encoding="utf-8"))

    def _tasks(self, training: str) -> str:
        return ",".join(f"{self.preset.source}:{v}" for v in self.preset.trainings[training])

    def _examples(self) -> dict:
        return {} if self.size.examples < 0 else {"num_examples": self.size.examples}


def scaled(options: Mapping, scale: float, smaller: float = 1.0) -> dict:
    """
    The limits of a training, and its warm-up, times ``scale``.

    :param smaller: size of the data against that which the options are for.
    """
    found: dict = {}
    if options.get("num_epochs", -1) > 0 and "selfplay" not in options["o"]:
        found["num_epochs"] = round(options["num_epochs"] * scale / smaller, 6)
    for name in ("max_train_steps", "warmup_updates"):
        if options.get(name, -1) > 0:
            found[name] = max(1, round(options[name] * scale))
    return found
