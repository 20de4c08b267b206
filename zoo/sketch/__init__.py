"""
``zoo:p2bot/sketch/model`` and ``zoo:p2bot/sketch/receiver``: small models that ship with us.

Trained on `p2bot:sketch` by ``make zoo`` (see docs/log.md). They ship as safetensors in half
precision; ParlAI needs a model file, so `download` writes one.
"""

import json
import os
import shutil
from pathlib import Path

from p2bot_parlai.errors import P2botError

HERE = Path(__file__).parent
NAMES = ("model", "receiver")
# options of the machine and the run, which a packed .opt leaves out
OF_THE_RUN = {
    *("override", "datapath", "parlai_home", "model_file", "dict_file", "init_model", "init_opt"),
    *("receiver", "language_model", "starttime", "download_path", "tensorboard_logdir"),
    *("world_logs", "report_filename"),
}


def download(datapath: str) -> None:
    """
    Write the models to <datapath>/models/p2bot/sketch, unless they exist.

    :raises P2botError: if files of this package are missing.
    """
    folder = Path(datapath) / "models" / "p2bot" / "sketch"
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        unpack(HERE / f"{name}.safetensors", folder / name)


def pack(model_file: str | Path, packed: Path) -> None:
    """
    Write a trained model as <packed>: weights in half precision, no optimizer, no paths.

    :param packed: the .safetensors to write; .dict and .opt go beside it.
    """
    import torch
    from safetensors.torch import save_file

    from p2bot_parlai.method.model_files import read_model_file

    states = read_model_file(str(model_file))
    about = {k: v for k, v in states["p2bot"].items() if k not in ("run", "selfplay")}
    # adapters are in bfloat16 already, whose small numbers float16 does not have
    weights = {
        name: tensor.to(torch.bfloat16 if tensor.dtype == torch.bfloat16 else torch.half)
        for name, tensor in states["model"].items()
    }
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    # one encoder under two names is packed once
    if about.get("kind") == "receiver" and about["options"]["share_encoders"]:
        weights = {k: v for k, v in weights.items() if not k.startswith("persona.")}
    save_file(weights, packed, metadata={"p2bot": json.dumps(about)})
    opt = json.loads(Path(f"{model_file}.opt").read_text(encoding="utf-8"))
    opt = {name: value for name, value in opt.items() if name not in OF_THE_RUN}
    base = packed.with_suffix("")
    Path(f"{base}.opt").write_text(json.dumps(opt, indent=1, sort_keys=True) + "\n")
    shutil.copyfile(f"{model_file}.dict", f"{base}.dict")


def unpack(packed: Path, model_file: Path) -> None:
    """
    Write the model file of a packed model, unless it exists and is not older.

    :raises P2botError: if packed files are missing.
    """
    import torch

    from p2bot_parlai.method.model_files import read_model_file
    from p2bot_parlai.parlai_support.files import whole  # the weights are read without ParlAI too

    base = packed.with_suffix("")
    for part in (packed, Path(f"{base}.opt"), Path(f"{base}.dict")):
        if not part.exists():
            raise P2botError(f"{part} is missing: install p2bot_parlai again, or run make zoo")
    if model_file.exists() and model_file.stat().st_mtime >= packed.stat().st_mtime:
        return
    states = read_model_file(str(packed))
    for ending in (".opt", ".dict"):
        shutil.copyfile(f"{base}{ending}", f"{model_file}{ending}")
    # several processes may do this at a time
    with whole(str(model_file), f"{model_file}.{os.getpid()}.tmp") as temporary:
        torch.save(states, temporary)
