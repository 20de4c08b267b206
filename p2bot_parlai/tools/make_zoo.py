"""
Train the models that ship, and pack them: `make zoo`.

usage: python -m p2bot_parlai.tools.make_zoo FOLDER

The recipes are the presets p2bot/sketch_*, trained for longer. What is finished in FOLDER is
not trained again.
"""

import sys
from pathlib import Path

from p2bot_parlai.tools.reproduce.running import Runner, Step, arguments
from p2bot_parlai.zoo.sketch import HERE, pack


def training(folder: Path, preset: str, name: str, **changes) -> Step:
    """The step that trains a model as <folder>/steps/<name>/<name>."""
    model = folder / "steps" / name / name
    options = {"o": f"p2bot/{preset}", "model_file": model, "datapath": folder / "data", "seed": 1}
    options |= {"validation_max_exs": 64, "short_final_eval": True, "log_every_n_steps": 20}
    return Step(name, arguments("train_model", options | changes), makes=(model,))


def main(folder: Path) -> None:
    steps = [
        training(folder, "sketch_transmitter", "model", max_train_steps=2000, num_epochs=-1),
        training(folder, "sketch_receiver", "receiver", num_epochs=4),
    ]
    Runner(folder, steps, jobs=2).run()
    for step in steps:
        packed = HERE / f"{step.name}.safetensors"
        pack(step.makes[0], packed)
        print(f"wrote {packed.name}, {packed.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
