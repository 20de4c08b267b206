"""
Train the models that ship, and pack them: `make zoo`.

usage: python zoo/sketch/make.py FOLDER

The recipes are the presets p2bot/sketch_*, for longer than those last. A model that is in
FOLDER already is not trained again.
"""

import sys
from pathlib import Path

from p2bot_parlai.tools.reproduce.lanes import Job, run
from p2bot_parlai.zoo.sketch import HERE, pack

UPDATES, RECEIVER_EPOCHS = 2000, 4


def train(folder: Path, preset: str, name: str, *more: str) -> list[Job]:
    """The job that trains a model, unless it is there."""
    if (folder / name).exists():
        return []
    flags = ["-o", f"p2bot/{preset}", "-mf", folder / name, "-dp", folder / "data", "--seed", "1"]
    flags += ["-vme", "64", "--short-final-eval", "true", "--log-every-n-steps", "20", *more]
    return [Job(name, [sys.executable, "-m", "p2bot_parlai", "train_model", *map(str, flags)])]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    transmitter = train(
        folder, "sketch_transmitter", "model", "--max-train-steps", str(UPDATES), "-eps", "-1"
    )
    receiver = train(folder, "sketch_receiver", "receiver", "-eps", str(RECEIVER_EPOCHS))
    run(folder, [transmitter, receiver])
    for name in ("model", "receiver"):
        pack(folder / name, HERE / f"{name}.safetensors")
        size = (HERE / f"{name}.safetensors").stat().st_size
        print(f"wrote {name}.safetensors, {size / 1e6:.1f} MB")
