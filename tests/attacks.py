"""
Files that try to run code, one function each: what somebody could send in place of a model.

Each is given a `Target`, writes its file into the target's folder and returns the command that
reads it and the file that the refusal must name. The payload creates `Target.canary`.
"""

import json
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers


@dataclass
class Target:
    """:param model: a sound model of its own in a folder of its own. :param data: a datapath."""

    folder: Path
    model: Path
    receiver: Path
    data: str

    @property
    def canary(self) -> Path:
        """There if anything ran."""
        return self.folder / "ran"

    def payload(self) -> "Payload":
        return Payload(str(self.canary))

    def eval(self, *more) -> list[str]:
        return self._command("eval_model", "-mf", self.model, "--num-examples", 1, *more)

    def train(self, *more) -> list[str]:
        return self._command("train_model", "-mf", self.model, "--max-train-steps", 1, *more)

    def begin(self, *more) -> list[str]:
        """A training run without a model file yet."""
        new = ("-mf", self.folder / "new", "-m", "p2bot", "--max-train-steps", 1)
        return self._command("train_model", *new, *more)

    def play(self, *more) -> list[str]:
        return self.begin("-t", "p2bot:selfplay", "-et", "convai2:self_original", *more)

    def _command(self, *words) -> list[str]:
        task = () if "-t" in words else ("-t", "convai2:self_original")
        return [*map(str, words), *task, "-dp", self.data, "--loglevel", "error"]


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def pickled(path: Path, value, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


# ------------------------------------------------------------------------ model files
def model_file(t: Target):
    torch.save({"model": {}, "p2bot": t.payload()}, t.model)
    return t.eval(), t.model


def model_file_of_old_torch(t: Target):
    states = {"model": {"w": torch.zeros(2)}, "p2bot": t.payload()}
    torch.save(states, t.model, _use_new_zipfile_serialization=False)
    return t.eval(), t.model


def optimizer_state_of_a_checkpoint(t: Target):
    path = checkpoint(t)
    states = torch.load(path, weights_only=True)
    torch.save({**states, "optimizer": t.payload()}, path)
    return t.train(), path


def init_model(t: Target):
    torch.save({"model": t.payload()}, t.model)
    return t.begin("--init-model", t.model), t.model


def receiver_of_selfplay(t: Target):
    torch.save({"model": t.payload()}, t.receiver)
    return t.play("--init-model", t.model, "--receiver", t.receiver), t.receiver


def model_to_vacuum(t: Target):
    torch.save({"model": t.payload()}, t.model)
    return ["vacuum", "-mf", str(t.model)], t.model


# ------------------------------------------------------- what stands beside a model file
def opt(t: Target):
    return t.eval(), pickled(Path(f"{t.model}.opt"), {"model": "p2bot", "x": t.payload()})


def init_opt(t: Target):
    path = pickled(t.folder / "preset.opt", {"x": t.payload()})
    return t.begin("-o", path), path


def dictionary(t: Target):
    use_own_dictionary(t)
    return t.eval(), pickled(Path(f"{t.model}.dict"), t.payload())


def trainstats_of_a_checkpoint(t: Target):
    return t.train(), pickled(Path(f"{checkpoint(t)}.trainstats"), t.payload())


# ---------------------------------------------------------------- agents that an .opt names
def opt_that_names_a_shell(t: Target):
    """Runs its first key in stock ParlAI: subprocess makes a list of what it is given."""
    return t.eval(), write_opt(t, {f"touch {t.canary}": 1, "model": "subprocess:getoutput"})


def opt_that_names_a_function(t: Target):
    return t.eval(), write_opt(t, {"model": "parlai.core.build_data:remove_dir"})


def opt_that_names_a_package(t: Target):
    """Would be imported from the Python path, as every installed package is."""
    package = t.folder / "foreign_package.py"
    package.write_text(f"open({str(t.canary)!r}, 'w')")
    return t.eval(), write_opt(t, {"model": "foreign_package:Agent"})


def opt_of_init_model_is_not_called(t: Target):
    """What --init-model says of its agent is not believed; its weights are refused."""
    write_opt(t, {f"touch {t.canary}": 1, "model": "subprocess:getoutput"})
    torch.save({"model": t.payload()}, t.model)
    return t.begin("--init-model", t.model), t.model


def stock_agent_that_is_said_to_be_ours(t: Target):
    """ParlAI's own agents unpickle; with -m p2bot its file is read by ours."""
    options = json.loads(Path(f"{t.model}.opt").read_text())
    write_opt(t, {**options, "model": "transformer/generator"})
    torch.save({"model": t.payload()}, t.model)
    return t.eval("-m", "p2bot"), t.model


# ------------------------------------------------------------- folders in Hugging Face form
def backbone_of_pickled_weights(t: Target):
    folder = gpt2(t)
    (folder / "model.safetensors").unlink()
    torch.save({"wte.weight": t.payload()}, folder / "pytorch_model.bin")
    return t.begin("--backbone", folder), folder


def backbone_of_pickled_shards(t: Target):
    """The index may name a file anywhere."""
    folder = gpt2(t)
    (folder / "model.safetensors").unlink()
    torch.save({"transformer.wte.weight": t.payload()}, t.folder / "outside.bin")
    index = {"metadata": {}, "weight_map": {"transformer.wte.weight": "../outside.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return t.begin("--backbone", folder), folder


def backbone_with_code(t: Target):
    folder = gpt2(t)
    code(t, folder, "AutoConfig", "AutoModelForCausalLM")
    return t.begin("--backbone", folder), folder


def tokenizer_with_code(t: Target):
    folder = t.folder / "tokenizer"
    folder.mkdir()
    code(t, folder, "AutoConfig")
    about = {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["code.Code", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return t.begin("--backbone", "scratch", "--tokenizer", folder), folder


CORPUS = [
    attack
    for name, attack in list(globals().items())
    if getattr(attack, "__annotations__", {}).get("t") is Target
    and "return" not in attack.__annotations__
]


# --------------------------------------------------------------------------------- tools
def checkpoint(t: Target) -> Path:
    """The files of an interrupted run, beside the model."""
    for ending in ("", ".opt", ".dict", ".trainstats"):
        if Path(f"{t.model}{ending}").exists():
            shutil.copy(f"{t.model}{ending}", f"{t.model}.checkpoint{ending}")
    return Path(f"{t.model}.checkpoint")


def write_opt(t: Target, options: dict) -> Path:
    path = Path(f"{t.model}.opt")
    path.write_text(json.dumps(options))
    return path


def use_own_dictionary(t: Target) -> None:
    options = json.loads(Path(f"{t.model}.opt").read_text())
    write_opt(t, {**options, "dict_file": None})


def gpt2(t: Target) -> Path:
    """A sound model with a tokenizer, as the hub would give it."""
    folder = t.folder / "hub"
    sizes = {"vocab_size": 400, "n_positions": 256, "n_embd": 8, "n_layer": 1, "n_head": 1}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).save_pretrained(folder)
    tokenizer = json.loads(Path(f"{t.model}.dict").read_text())["tokenizer"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def code(t: Target, folder: Path, *auto_classes: str) -> None:
    """A family that transformers does not know, with its code."""
    about = {"model_type": "foreign", "auto_map": dict.fromkeys(auto_classes, "code.Code")}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "code.py").write_text(f"open({str(t.canary)!r}, 'w')\nclass Code: pass\n")
