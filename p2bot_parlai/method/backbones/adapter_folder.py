"""
Adapters as PEFT writes them and as people share them: a folder with adapter_config.json and
adapter_model.safetensors.

PEFT reads ours, on a base that has been resized to the special tokens. Of others' those are read
that hold what `lora` computes: LoRA of linear layers of the blocks.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.adapted import Adapted, Base, check_base, on_base
from p2bot_parlai.method.backbones.folders import ADAPTER, description_of
from p2bot_parlai.method.backbones.gpt import GPT
from p2bot_parlai.method.backbones.hub import LOADING_ERRORS
from p2bot_parlai.method.backbones.loading import load_backbone
from p2bot_parlai.method.backbones.lora import LoraConfig  # or what to install
from p2bot_parlai.method.backbones.names import ALIASES

WEIGHTS = "adapter_model.safetensors"
ROWS = "token_adapter.trainable_tokens_delta"
# entries of a configuration that are read, or change nothing of what is computed
UNDERSTOOD = (
    *("r", "lora_alpha", "trainable_token_indices", "target_modules", "exclude_modules"),
    *("base_model_name_or_path", "revision", "task_type", "auto_mapping", "peft_version"),
    *("inference_mode", "lora_dropout", "fan_in_fan_out", "ensure_weight_tying"),
)
FRESH = ("gaussian", "orthogonal")  # first weights that leave the base as it is


# ----------------------------------------------------------------------------- writing
@torch.no_grad()
def write_adapter(adapted: Adapted, folder: Path) -> None:
    """
    A role's adapters as one, which is their sum: of rank r = r1 + r2 + .., with A = [A1; A2; ..],
    B = [s1 B1, s2 B2, ..] and s_i = alpha_i / r_i; its rows are the newest.

    :raises P2botError: for a backbone with which PEFT computes something else.
    """
    head = adapted.network.token_modules()[1]
    if head.base.bias is not None:
        raise P2botError(
            "PEFT drops the bias of this backbone's output layer beside rows of special tokens: "
            "export it with --merge true"
        )
    rank = sum(shape.rank for shape in adapted.shapes)
    alpha = adapted.shapes[0].alpha if len(adapted.shapes) == 1 else rank
    parts: dict[str, dict[int, Tensor]] = {}  # by place and number of the adapter
    for key, weight in adapted.weights().items():
        number, _, place = key.partition(".")
        parts.setdefault(place, {})[int(number)] = weight
    weights, targets, rows = {}, set(), {}
    for place, found in parts.items():
        module, _, kind = place.rpartition(".")
        some = found[max(found)]
        if kind == "rows":
            whole, rows[_in_lm(adapted.network, module)] = some, adapted.tokens
        else:
            targets.add(module.rpartition(".")[2])
            columns = kind == "lora_B"  # (out, r); A is (r, in)
            whole = some.new_zeros(*((len(some), rank) if columns else (rank, some.shape[1])))
            start = 0
            for each, shape in enumerate(adapted.shapes):
                if each in found:
                    scale = shape.alpha * rank / (shape.rank * alpha) if columns else 1
                    whole.narrow(int(columns), start, shape.rank).copy_(scale * found[each])
                start += shape.rank
        weights[_peft_name(adapted.network, place)] = _short(whole)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=sorted(targets),
        trainable_token_indices=rows,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in adapted.modules()),
        base_model_name_or_path=ALIASES.get(adapted.base.name, adapted.base.name),
        task_type="CAUSAL_LM",
        inference_mode=True,
    ).save_pretrained(str(folder))


def _short(weight: Tensor) -> Tensor:
    """In bfloat16 where nothing is lost, as with those of a model file."""
    short = weight.bfloat16()
    return (short if torch.equal(short.float(), weight) else weight).contiguous()


def _in_lm(network: Any, place: str) -> str:
    """A module of a backbone as transformers' language model calls it."""
    return f"transformer.{place}" if isinstance(network, GPT) else place.removeprefix("lm.")


def _peft_name(network: Any, place: str) -> str:
    """A weight of `lora.parameters_of` as PEFT calls it."""
    module, _, kind = place.rpartition(".")
    last = ROWS if kind == "rows" else f"{kind}.weight"
    return f"base_model.model.{_in_lm(network, module)}.{last}"


# ----------------------------------------------------------------------------- reading
def read_config(folder: str) -> dict[str, Any]:
    """
    :return: of adapter_config.json.
    :raises P2botError: for a kind of adapter that is not computed here.
    """
    path = Path(folder) / ADAPTER
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        rank, alpha = config["r"], config["lora_alpha"]
        if not (isinstance(rank, int) and isinstance(alpha, int | float)):
            raise ValueError(f"r {rank}, lora_alpha {alpha}")
    except FileNotFoundError as error:
        raise P2botError(f"{folder} is no adapter folder: it has no {ADAPTER}") from error
    except KeyError as error:
        raise P2botError(
            f"{path} is that of no LoRA: it has no {error}, its peft_type is "
            f"{config.get('peft_type')}"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise P2botError(f"{path} is damaged: {error}. Use another copy") from error
    plain = LoraConfig().to_dict()
    for name, value in config.items():
        if name not in UNDERSTOOD and value and value not in (plain.get(name), *FRESH):
            raise P2botError(
                f"{path} has {name} {value}, which is not computed here: merge that adapter into "
                "its base with PEFT (merge_and_unload), and give the result to --backbone"
            )
    return config


def base_name(folder: str) -> str:
    """:raises P2botError: where it says none."""
    about = description_of(folder).get("base")
    name = about["name"] if about else read_config(folder).get("base_model_name_or_path")
    if not name:
        raise P2botError(f"{folder} does not say its base: name it with --backbone")
    return name


def read_adapter(folder: str, name: str, size: int, tokens: Sequence[int]) -> Adapted:
    """
    The adapter of a folder on its base; it learns. Without rows in the folder, its rows are fresh.

    :param name: of the base, also for ``size`` and ``tokens`` see `adapted.on_base`.
    :raises P2botError: for a folder that does not fit; the message says what.
    """
    config, about = read_config(folder), description_of(folder).get("base")
    its_own = config.get("base_model_name_or_path")
    if not about and its_own and ALIASES.get(name, name) != ALIASES.get(its_own, its_own):
        raise P2botError(
            f"{folder} is an adapter of {its_own}, not of --backbone {name}: where they are the "
            f"same model, change base_model_name_or_path in its {ADAPTER}"
        )
    try:
        given = load_file(Path(folder) / WEIGHTS)
    except LOADING_ERRORS as error:
        raise P2botError(f"{folder} has no {WEIGHTS} that can be read: {error}") from error
    found = on_base(load_backbone, name, size, tokens)
    if about:
        check_base(found.base, Base(**about))
    targets = {key.split(".")[-3] for key in given if ".lora_" in key}
    try:
        found.add(config["r"], config["lora_alpha"], sorted(targets))
    except P2botError as error:
        raise P2botError(f"{folder} does not fit --backbone {name}: {error}") from error
    wanted: dict[str, Any] = {
        _peft_name(found.network, key.partition(".")[2]): weight
        for key, weight in found.weights().items()
    }
    rows = config.get("trainable_token_indices")
    if not rows:
        wanted = {key: weight for key, weight in wanted.items() if not key.endswith(ROWS)}
    for keys, what in (
        (wanted.keys() - given.keys(), "lacks weights of the adapter"),
        (given.keys() - wanted.keys(), "holds weights that are no adapter of a linear layer"),
        ({k for k in wanted if k in given and wanted[k].shape != given[k].shape}, "is misshapen"),
    ):
        if keys:
            raise P2botError(f"{folder} {what} ({len(keys)}: {min(keys)} ..)")
    for ids in rows.values() if isinstance(rows, dict) else [rows] if rows else []:
        if ids != found.tokens:
            raise P2botError(f"{folder} has rows of other tokens than those of the context: {ids}")
    with torch.no_grad():
        for key, weight in wanted.items():
            weight.copy_(given[key])
    return found
