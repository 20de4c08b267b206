"""
Train the models that ship, and pack them: `make zoo`, `make zoo-smollm2 DATAPATH=<data>`.

usage: python -m p2bot_parlai.tools.make_zoo sketch|smollm2 FOLDER [DATAPATH]

The recipes are presets of zoo/. What is finished in FOLDER is not trained again, and what was
stopped goes on. made.json, beside the models, says how they were made.
"""

import json
import os
import shlex
import sys
from pathlib import Path

from p2bot_parlai.tools.reproduce import machine
from p2bot_parlai.tools.reproduce.running import Runner, Step, arguments
from p2bot_parlai.zoo.packing import HERE, pack

# what ships -> the model whose adapters it stands on
SHIPS = {
    "sketch": {"model": None, "receiver": None},
    "smollm2": {"supervised": None, "receiver": None, "model": "supervised"},
}


class Recipe:
    """:param data: ParlAI's data folder. Models are <folder>/steps/<name>/<name>."""

    def __init__(self, folder: Path, data: str):
        self.folder, self.data = folder, data
        self.steps: list[Step] = []

    def model(self, name: str) -> Path:
        return self.folder / "steps" / name / name

    def add(self, name: str, script: str, options: dict, *needs: str, makes: Path) -> None:
        command = arguments(script, options | {"datapath": self.data})
        self.steps.append(Step(name, command, needs, (makes,)))

    def train(self, name: str, preset: str, options: dict, *needs: str) -> None:
        given = {"o": f"p2bot/{preset}", "model_file": self.model(name), "seed": 1}
        given |= {"validation_max_exs": 64, "short_final_eval": True, "log_every_n_steps": 20}
        # its report comes last: after SIGTERM a training ends with status 0 and has none
        report = self.model(name).with_name(f"{name}.test")
        self.add(name, "train_model", given | options, *needs, makes=report)


def sketch(recipe: Recipe) -> None:
    recipe.train("model", "sketch_transmitter", {"max_train_steps": 2000, "num_epochs": -1})
    recipe.train("receiver", "sketch_receiver", {"num_epochs": 4})


def smollm2(recipe: Recipe) -> None:
    """The Receiver is the mean of two, calibrated on dialogues that no figure is of."""
    shared = {"precision": "bf16", "save_every_n_secs": 600}
    recipe.train("supervised", "smollm2_transmitter", {"num_epochs": 1, **shared})
    for seed in (1, 2):
        given = {"adapter": "lora", "learningrate": 5e-4, "lr_scheduler": "linear"}
        given |= {"seed": seed, **shared}
        recipe.train(f"receiver{seed}", "smollm2_receiver", given)
    models = ",".join(str(recipe.model(f"receiver{seed}")) for seed in (1, 2))
    receiver = recipe.model("receiver")
    blend = {"models": models, "share": 0.7, "tau": 2, "outfile": receiver}
    recipe.add("receiver", "blend_receiver", blend, "receiver1", "receiver2", makes=receiver)
    measure = {"task": "p2bot:persona_perception:self_original", "eval_dialogues": "1-250"}
    measure["model_file"] = receiver
    recipe.add("calibrated", "calibrate_receiver", measure, "receiver", makes=receiver)
    start = {"init_model": recipe.model("supervised"), "receiver": receiver}
    recipe.train("model", "smollm2_selfplay", start | shared, "supervised", "calibrated")


def main(family: str, folder: Path, data: str = "") -> None:
    if family == "smollm2" and not os.path.isdir(f"{data}/ConvAI2"):
        sys.exit("this needs real dialogues: make zoo-smollm2 DATAPATH=<folder that holds ConvAI2>")
    data, jobs = (data, 1) if family == "smollm2" else (str(folder / "data"), 2)
    recipe = Recipe(folder, data)
    {"sketch": sketch, "smollm2": smollm2}[family](recipe)
    runner = Runner(folder, recipe.steps, jobs=jobs)
    runner.run()
    for name, below in SHIPS[family].items():
        packed = HERE / family / f"{name}.safetensors"
        pack(recipe.model(name), packed, below and packed.with_stem(below))
        print(f"wrote {packed.name}, {packed.stat().st_size / 1e6:.1f} MB")
    about = {"machine": machine.hardware(), "versions": machine.versions()}
    about["steps"] = {step.name: made(runner.done(step), folder, data) for step in recipe.steps}
    text = json.dumps(about, indent=1) + "\n"
    (HERE / family / "made.json").write_text(text, encoding="utf-8")


def made(mark: dict, folder: Path, data: str) -> dict:
    """A step's command, without paths of this machine, and minutes."""
    command = shlex.join(["parlai", *mark["command"]])
    for path, name in ((str(folder), "FOLDER"), (data, "DATAPATH")):
        command = command.replace(path, name)
    return {"command": command, "minutes": round(mark["seconds"] / 60, 1)}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute(), *sys.argv[3:])
