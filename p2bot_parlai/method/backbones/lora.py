"""
Low-rank adapters of a frozen backbone or encoder (LoRA, Hu et al. 2022):
h = W x + (alpha / r) B A x.

PEFT makes and merges the layers. With an adapter go rows of its own for the special tokens, in
the token embedding and, where it is not tied, in the output matrix: the backbone does not know
these tokens. Which adapters a call uses, `adapters` says.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.adapters import names_on
from p2bot_parlai.method.backbones.quantised import Quantised
from p2bot_parlai.method.backbones.token_rows import TokenEmbedding, TokenLogits, TokenRows

try:
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import Linear as PeftLinear
except ImportError as error:
    raise P2botError(
        'adapters need a package that is not installed: pip install -c constraints.txt ".[lora]"'
    ) from error

REMEDY = "train all weights with --adapter none, or choose another --backbone"
LINEAR = (nn.Linear, Conv1D, Quantised)


@dataclass(frozen=True)
class Shape:
    """
    :param rank: r. :param alpha: the adapter counts alpha / r times.
    :param targets: last names of the linear layers that have one; none: all of the blocks.
    """

    rank: int
    alpha: int
    targets: tuple[str, ...] = ()


class LoraLinear(PeftLinear):
    """PEFT's layer, which adds the adapters that are on, and casts nothing to do so."""

    def __init__(self, base_layer: nn.Module, *args: Any, **kwargs: Any):
        super().__init__(base_layer, *args, **kwargs)
        self.fan_in_fan_out = isinstance(base_layer, Conv1D)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        y = self.base_layer(x)
        for name in names_on():
            if name in self.lora_A:
                # the scale where it is narrow, the sum in place: both are memory, not arithmetic
                y.add_(self.lora_B[name](self.scaling[name] * self.lora_A[name](x)))
        return y


# ------------------------------------------------------------------------------ adding
def add_adapter(
    backbone: Any, shape: Shape, tokens: Sequence[int], below: Sequence[str] = ()
) -> str:
    """
    A fresh adapter, which changes nothing yet: B is 0.

    :param backbone: with `layers`, and `token_modules` where there are tokens, see
        `p2bot_parlai.method.backbones`.
    :param tokens: ids that get rows of their own.
    :param below: adapters that it stands on; its rows begin as theirs.
    :return: its name in the backbone.
    :raises P2botError: for a shape that does not fit.
    """
    learns = {id(weight) for weight in backbone.parameters() if weight.requires_grad}
    targets = _targets(backbone, shape)
    name = f"a{len(adapters_in(backbone))}"
    config = LoraConfig(
        r=shape.rank, lora_alpha=shape.alpha, target_modules=sorted(targets), lora_dropout=0.0
    )
    config._register_custom_module(dict.fromkeys(LINEAR, LoraLinear))
    try:
        with warnings.catch_warnings():  # that there is an adapter already: there shall be many
            warnings.simplefilter("ignore", UserWarning)
            inject_adapter_in_model(config, backbone, name)
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        raise P2botError(f"PEFT cannot adapt this backbone ({reason}): {REMEDY}") from error
    for weight in parameters_of(backbone, name).values():
        weight.data = weight.data.float()
    for module in token_rows(backbone, tokens):
        module.add(name, below)
    # PEFT switches to the new one, and freezes the others'
    for weight in backbone.parameters():
        weight.requires_grad_(id(weight) in learns)
    set_trainable(backbone, name, True)
    return name


def _targets(backbone: Any, shape: Shape) -> set[str]:
    """Whole names of the linear layers that a shape adapts."""
    widths = {}
    blocks = {id(block) for block in backbone.layers()}
    for place, module in backbone.named_modules():
        if id(module) in blocks:
            for inner, layer in module.named_modules():
                if isinstance(layer, LoraLinear):
                    layer = layer.base_layer
                elif not isinstance(layer, LINEAR) or ".lora_" in f".{inner}":
                    continue
                if not inner.endswith("base_layer"):
                    conv = isinstance(layer, Conv1D)
                    sides = layer.weight.shape if conv else (layer.in_features, layer.out_features)
                    widths[f"{place}.{inner}"] = min(sides)
    asked = {n: w for n, w in widths.items() if n.rpartition(".")[2] in shape.targets}
    there = sorted({name.rpartition(".")[2] for name in widths})
    if missing := set(shape.targets) - set(there):
        raise P2botError(
            f"--adapter-targets {','.join(sorted(missing))}: the blocks of this backbone have the "
            f"linear layers {', '.join(there) or '(none)'}"
        )
    found = asked or widths
    if not found:
        raise P2botError(f"the blocks of this backbone have no linear layers to adapt: {REMEDY}")
    narrowest = min(found.values())
    if not 1 <= shape.rank <= narrowest:
        raise P2botError(
            f"--adapter-rank {shape.rank}: this backbone's layers take 1 to {narrowest}"
        )
    return set(found)


def token_rows(backbone: Any, tokens: Sequence[int]) -> list[TokenRows]:
    """The modules that hold rows of the tokens, which are put into the backbone at first use."""
    if not tokens:
        return []
    embedding, head = backbone.token_modules()
    if not isinstance(embedding, TokenEmbedding):
        tied = head is None or head.weight is embedding.weight
        embedding = TokenEmbedding(embedding, tokens)
        if head is not None:
            head = TokenLogits(head, tokens, embedding if tied else None)
        backbone.set_token_modules(embedding, head)
    untied = isinstance(head, TokenLogits) and head.tied is None
    return [embedding, head] if untied else [embedding]


def set_trainable(backbone: Any, name: str, learns: bool) -> None:
    """Whether an adapter has gradients."""
    for weight in parameters_of(backbone, name).values():
        weight.requires_grad_(learns)


# ------------------------------------------------------------------------------ weights
def _modules(backbone: nn.Module, kind: type) -> Iterator[Any]:
    return (module for module in backbone.modules() if isinstance(module, kind))


def adapters_in(backbone: nn.Module) -> set[str]:
    """Of all roles."""
    return {name for module in _modules(backbone, LoraLinear) for name in module.lora_A}


def parameters_of(backbone: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """The weights of an adapter, by names that do not hold the adapter's."""
    found: dict[str, Any] = {}
    module: Any
    for place, module in backbone.named_modules():
        if isinstance(module, LoraLinear) and name in module.lora_A:
            found[f"{place}.lora_A"] = module.lora_A[name].weight
            found[f"{place}.lora_B"] = module.lora_B[name].weight
        elif isinstance(module, TokenRows) and name in module.rows:
            found[f"{place}.rows"] = module.rows[name]
    return {place.replace("base_layer.", ""): weight for place, weight in found.items()}


@torch.no_grad()
def merge(backbone: Any, names: Iterable[str]) -> None:
    """Put adapters into the weights of the backbone, which then has none."""
    names = list(names)
    module: Any
    for place, module in list(backbone.named_modules()):
        if isinstance(module, LoraLinear):
            weight: Any = module.base_layer.weight
            for name in names:
                if name in module.lora_A:
                    weight.data = weight.data + module.get_delta_weight(name).to(weight)
            parent, _, last = place.rpartition(".")
            setattr(backbone.get_submodule(parent), last, module.base_layer)
    if not any(_modules(backbone, TokenRows)):
        return
    embedding, head = backbone.token_modules()
    for module in (embedding, head):
        if isinstance(module, TokenRows) and (rows := module.newest(names)) is not None:
            module.base.weight[module.tokens] = rows.to(module.base.weight)
    backbone.set_token_modules(
        *(module.base if isinstance(module, TokenRows) else module for module in (embedding, head))
    )
