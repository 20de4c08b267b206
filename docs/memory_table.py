"""
Write the table of memory in docs/backbones.md: `.venv/bin/python docs/memory_table.py`.

Models of public shapes are built by our own code from tensors that have a shape and no memory; what
they would take is counted, each storage once. Takes a minute on one core, no network.
"""

import itertools
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from p2bot_parlai.agents.options.adapters import OPTIONS, SELFPLAY_RANK
from p2bot_parlai.method.backbones import hub
from p2bot_parlai.method.backbones.adapted import Adapted, Base
from p2bot_parlai.method.backbones.precision import freeze_casts, set_computing
from p2bot_parlai.method.backbones.quantised import quantise
from p2bot_parlai.method.context_style import SPECIAL_TOKENS
from p2bot_parlai.method.transmitter import Transmitter, token_log_likelihood

PAGE = Path(__file__).parent / "backbones.md"
BEGIN, END = "<!-- memory: docs/memory_table.py -->", "<!-- end of memory -->"
RANK = OPTIONS["--adapter-rank"][0]


SHAPE = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers")
SHAPE += ("num_attention_heads", "num_key_value_heads", "vocab_size", "tie_word_embeddings")
MODELS = {
    "SmolLM2-135M": ("llama", 576, 1536, 30, 9, 3, 49152, True),
    "Qwen2.5-0.5B": ("qwen2", 896, 4864, 24, 14, 2, 151936, True),
    "Qwen2.5-1.5B": ("qwen2", 1536, 8960, 28, 12, 2, 151936, True),
    "Llama-3.1-8B": ("llama", 4096, 14336, 32, 32, 8, 128256, False),
}
# what is trained, --precision, --base-dtype
KINDS = (
    ("all weights", "fp32", "none"),
    ("all weights", "bf16", "none"),
    ("adapters", "fp32", "none"),
    ("adapters", "bf16", "none"),
    ("adapters", "bf16", "int8"),
    ("adapters", "bf16", "int4"),
)
META = torch.device("meta")  # of tensors without memory
ROWS, LENGTH, TARGETS = 2, 512, 256
TRAINED = 4 + 8  # bytes of a weight's gradient and of Adam's two means


def figures(shape: dict, trained: str, precision: str, base_dtype: str) -> list[int]:
    """Bytes: supervised, in self-play, and of activations."""
    size = shape["vocab_size"] + len(SPECIAL_TOKENS)
    config = {**shape, "vocab_size": size}
    special = list(range(shape["vocab_size"], size))

    def computing(network: nn.Module) -> nn.Module:
        with META:
            set_computing(network, precision)
            freeze_casts(network)  # of what does not learn
        return network

    def pretrained() -> hub.CausalLM:
        with META:
            lm = hub.build(config, "AutoModelForCausalLM")
        return hub.CausalLM(lm)

    def transmitter(*ranks: int) -> nn.Module:
        backbone = Adapted(base, Base("", "", size, size), special) if base else pretrained()
        with META:
            for rank in ranks if base else ():
                backbone.add(rank, 2 * rank)
            return computing(Transmitter(backbone))

    base = pretrained().requires_grad_(False) if trained == "adapters" else None
    if base_dtype != "none":
        quantise(base, base_dtype)
    agent = transmitter(RANK)
    supervised = held(agent)
    user = computing(agent.freeze())  # has learnt
    style = base or computing(pretrained().requires_grad_(False))
    selfplay = held(transmitter(RANK, SELFPLAY_RANK), user, style)
    return [supervised, selfplay, saved(transmitter(RANK))]


def held(*roles: nn.Module) -> int:
    """Bytes of weights, gradients and optimizer."""
    weights = {id(w): w for role in roles for w in (*role.parameters(), *role.buffers())}
    learning = sum(w.numel() for w in weights.values() if w.requires_grad)
    return bytes_of(weights.values()) + TRAINED * learning


def saved(network: Transmitter) -> int:
    """Bytes that the backward pass needs of the forward pass."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    # without memory too, but computed as on a CPU
    with FakeTensorMode(allow_non_fake_inputs=True), saved_tensors_hooks(keep, lambda kept: kept):
        network.to_empty(device="cpu")
        for module in network.modules():
            if isinstance(module, hub.CausalLM):  # our attention is for CPUs, and keeps less
                module.lm.set_attn_implementation("sdpa")
        ids = torch.zeros(ROWS, LENGTH, dtype=torch.long)
        mask = torch.ones(ROWS, LENGTH, LENGTH, dtype=torch.bool)
        hidden = network.backbone(ids, ids, mask).flatten(0, 1)
        targets = torch.zeros(TARGETS, dtype=torch.long)
        loss = token_log_likelihood(network.output(hidden[targets]), targets).mean()
        assert loss.requires_grad
        weights = [*network.parameters(), *network.buffers()]
        return bytes_of([*kept, *weights]) - bytes_of(weights)


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Of their storages, each once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def row(name: str, kind: tuple[str, str, str]) -> str:
    """Of the table, in GB: every layer takes as much as the second."""
    trained, precision, base_dtype = kind
    shape = dict(zip(SHAPE, MODELS[name], strict=True))
    one, two = (figures({**shape, "num_hidden_layers": layers}, *kind) for layers in (1, 2))
    others = shape["num_hidden_layers"] - 1
    sizes = [a + others * (b - a) for a, b in zip(one, two, strict=True)]
    # recomputed: one layer at a time, and the inputs of the others
    sizes.append(one[-1] + others * ROWS * LENGTH * shape["hidden_size"] * 4)
    blocks = precision if base_dtype == "none" else base_dtype
    return f"| {' | '.join([name, trained, blocks, *(f'{size / 1e9:.2f}' for size in sizes)])} |"


def main() -> None:
    head = "| model | trained | blocks in | supervised | self-play | activations | recomputed |"
    rows = [row(name, kind) for name, kind in itertools.product(MODELS, KINDS)]
    table = "\n".join([BEGIN, head, "|---|---|---|---|---|---|---|", *rows, END])
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(before + table + after, encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    main()
