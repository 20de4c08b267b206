"""What must be true of a model's folder after a kill, and after the run that came back."""

import json
from pathlib import Path

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import read_model_file

MODELS = ("model", "model.checkpoint")
CLOSE = 1e-6


def temporary(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if ".tmp" in file.name)


def broken(folder: Path) -> list[str]:
    """Files under a final name that are not whole, with the reason."""
    found = []
    for file in sorted(folder.iterdir()):
        if ".tmp" in file.name:
            continue
        try:
            if file.name in MODELS:
                read_model_file(str(file))
            elif file.suffix in (".opt", ".dict", ".trainstats"):
                json.loads(file.read_text(encoding="utf-8"))
            elif file.suffix in (".valid", ".test"):
                assert file.read_text(encoding="utf-8").endswith("\n\n"), "cut short"
            else:
                raise ValueError("nobody knows this file")
        except (P2botError, ValueError, AssertionError) as error:
            found.append(f"{file.name}: {error}")
    return found


def steps(folder: Path) -> int:
    """Training steps in the newest model or checkpoint, 0 where there is none."""
    files = [folder / name for name in MODELS if (folder / name).exists()]
    runs = [read_model_file(str(file))["p2bot"]["run"] for file in files]
    return max((run.get("counts", {}).get("train_steps", 0) for run in runs), default=0)


def distance(one: Path, other: Path) -> float:
    """The largest difference of any weight; infinite where the weights have other names."""
    first, second = (read_model_file(str(path))["model"] for path in (one, other))
    if first.keys() != second.keys():
        return float("inf")
    return max(float((first[n].double() - second[n].double()).abs().max()) for n in first)


def differences(folder: Path, unbroken: Path) -> list[str]:
    """What a resumed run left that the unbroken one did not, and the other way round."""
    found = [f"{name} is left" for name in temporary(folder)] + broken(folder)
    names = [{file.name for file in place.iterdir()} for place in (folder, unbroken)]
    if names[0] != names[1]:
        found.append(f"files: {sorted(names[0] ^ names[1])} on one side alone")
        return found
    for name in MODELS:
        far = distance(folder / name, unbroken / name)
        if not far <= CLOSE:
            found.append(f"{name}: weights differ by {far:.3g}")
    return found
