"""
The models that ship: ``zoo:p2bot/<family>/<name>`` is zoo/<family>/<name>.safetensors here.

They ship as safetensors in half precision, made by ``make zoo`` and ``make zoo-smollm2``; ParlAI
needs a model file, so `download` writes one.
"""

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

from p2bot_parlai.errors import P2botError

HERE = Path(__file__).parent
# options of the machine and the run, which a packed .opt leaves out
OF_THE_RUN = {
    *("override", "datapath", "parlai_home", "model_file", "dict_file", "init_model", "init_opt"),
    *("receiver", "language_model", "starttime", "download_path", "tensorboard_logdir"),
    *("world_logs", "report_filename", "save_rollouts", "save_at_kl", "eval_dialogues"),
}


def download(family: str, datapath: str) -> None:
    """
    Write a family's models to <datapath>/models/p2bot/<family>, unless they exist.

    :raises P2botError: if files of this package, or the weights that they stand on, are missing.
    """
    folder = Path(datapath) / "models" / "p2bot" / family
    folder.mkdir(parents=True, exist_ok=True)
    for packed in sorted((HERE / family).glob("*.safetensors")):
        unpack(packed, folder / packed.stem)


def pack(model_file: str | Path, packed: Path, below: Path | None = None) -> None:
    """
    Write a trained model as <packed>: weights in half precision, no optimizer, no paths.

    :param packed: the .safetensors to write. The .opt goes beside it, and the .dict unless the
        tokenizer comes with the pretrained weights that an adapter belongs to.
    :param below: a packed model in the same folder whose adapters this one's stand on: their
        weights are left out.
    :raises P2botError: if the model does not hold all weights of the one below.
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
    if below:
        for name, tensor in read_model_file(below)["model"].items():
            if name not in weights or not torch.equal(weights.pop(name).float(), tensor):
                raise P2botError(f"{model_file} does not stand on {below}: {name} is another")
        about["below"] = below.name
    save_file(weights, packed, metadata={"p2bot": json.dumps(about)})
    opt = json.loads(Path(f"{model_file}.opt").read_text(encoding="utf-8"))
    opt = {name: value for name, value in opt.items() if name not in OF_THE_RUN}
    opt["precision"] = "auto"  # as the machine that it will run on has it
    base = packed.with_suffix("")
    Path(f"{base}.opt").write_text(json.dumps(opt, indent=1, sort_keys=True) + "\n")
    pretrained = _pretrained_tokenizer(about)
    if pretrained is None or pretrained.fingerprint() != about["tokenizer"]:
        shutil.copyfile(f"{model_file}.dict", f"{base}.dict")


def unpack(packed: Path, model_file: Path) -> None:
    """
    Write the model file of a packed model, unless it exists and is not older. One that stands on
    another's adapters has learnt by self-play with that as its user: it is written too, and named.

    :raises P2botError: if packed files, or the weights that they stand on, are missing.
    """
    import torch
    from safetensors import safe_open

    from p2bot_parlai.method.checksums import checksum
    from p2bot_parlai.method.model_files import read_model_file
    from p2bot_parlai.parlai_support.files import whole  # the weights are read without ParlAI too

    if model_file.exists() and model_file.stat().st_mtime >= packed.stat().st_mtime:
        return
    states = read_model_file(packed)
    base = packed.with_suffix("")
    pretrained = None if Path(f"{base}.dict").exists() else _pretrained_tokenizer(states["p2bot"])
    for ending in (".opt",) if pretrained else (".opt", ".dict"):
        if not Path(f"{base}{ending}").exists():
            raise P2botError(f"{base}{ending} is missing: install p2bot_parlai again")
        shutil.copyfile(f"{base}{ending}", f"{model_file}{ending}")
    if pretrained:
        Path(f"{model_file}.dict").write_text(json.dumps(pretrained.contents()), encoding="utf-8")
    with safe_open(packed, framework="pt") as file:
        below = json.loads(file.metadata()["p2bot"]).get("below")
    if below:
        user = model_file.with_name(Path(below).stem)
        unpack(packed.with_name(below), user)
        states["p2bot"]["selfplay"] = {"user": {"path": str(user), "sha256": checksum(str(user))}}
    content = io.BytesIO()  # torch writes the name of a file into it: the checksum would differ
    torch.save(states, content)
    # several processes may do this at a time
    with whole(str(model_file), f"{model_file}.{os.getpid()}.tmp") as temporary:
        Path(temporary).write_bytes(content.getvalue())


def _pretrained_tokenizer(about: dict[str, Any]) -> Any:
    """
    That of the pretrained weights which a model's adapters belong to; None for one without.

    :raises P2botError: if these weights are not installed.
    """
    from p2bot_parlai.method.backbones import backbone_path
    from p2bot_parlai.method.backbones.encoder import encoder_path
    from p2bot_parlai.method.context_style import STYLES
    from p2bot_parlai.method.tokenizers import P2botTokenizer, SentenceTokenizer

    network = about.get("backbone") or about["encoder"]
    if network.get("kind") != "adapted":
        return None
    name = network["base"]["name"]
    if "encoder" in about:
        return SentenceTokenizer.from_pretrained(encoder_path(name))
    style = STYLES[about["options"]["context_style"]]
    return P2botTokenizer.from_pretrained(backbone_path(name), style)
