"""
Write the table of memory in docs/backbones.md: `.venv/bin/python docs/memory_table.py`.

Models of public shapes are built by our own code from tensors that have a shape and no memory; what
they would take is counted, each storage once. Takes a minute or two on one core, no network.
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
GB = 1e9


def shape(kind: str, width: int, inner: int, layers: int, heads: int, keys: int, **more) -> dict:
    """:param keys: heads of keys and values."""
    return {
        "model_type": kind,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "tie_word_embeddings": True,
        **more,
    }


MODELS = {
    "SmolLM2-135M": shape("llama", 576, 1536, 30, 9, 3, vocab_size=49152),
    "Qwen2.5-0.5B": shape("qwen2", 896, 4864, 24, 14, 2, vocab_size=151936),
    "Qwen2.5-1.5B": shape("qwen2", 1536, 8960, 28, 12, 2, vocab_size=151936),
    "Llama-3.1-8B": shape(
        "llama", 4096, 14336, 32, 32, 8, vocab_size=128256, tie_word_embeddings=False
    ),
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


class Sizes:
    """A model that is trained in one way."""

    def __init__(self, config: dict, trained: str, precision: str, base_dtype: str):
        size = config["vocab_size"] + len(SPECIAL_TOKENS)
        self.config = {**config, "vocab_size": size}
        self.special = list(range(config["vocab_size"], size))
        self.precision, self.base_dtype = precision, base_dtype
        self.base = self._pretrained() if trained == "adapters" else None
        if self.base:
            self.base.requires_grad_(False)
            if base_dtype != "none":
                quantise(self.base, base_dtype)
        self.agent = self._transmitter(OPTIONS["--adapter-rank"][0])

    def _pretrained(self) -> hub.CausalLM:
        with META:
            lm = hub.build(self.config, "AutoModelForCausalLM")
        return hub.CausalLM(lm)

    def _role(self) -> Adapted:
        base = Base("", "", self.config["vocab_size"], self.config["vocab_size"])
        return Adapted(self.base, base, self.special)

    def _transmitter(self, *ranks: int) -> Transmitter:
        backbone = self._role() if self.base else self._pretrained()
        with META:
            for rank in ranks if self.base else ():
                backbone.add(rank, 2 * rank)
            network = Transmitter(backbone)
            set_computing(network, self.precision)
            if self.base:
                freeze_casts(network)
        return network

    def _frozen(self, network: nn.Module) -> nn.Module:
        with META:
            network.requires_grad_(False) if not self.base else network.freeze()
            set_computing(network, self.precision)
            freeze_casts(network)
        return network

    def supervised(self) -> int:
        """Bytes of weights, gradients and optimizer."""
        return self._held(self.agent)

    def selfplay(self) -> int:
        """The same of the agent, with the weights of the user and the style model."""
        user = self.agent if self.base else self._transmitter()
        user = self._frozen(user)
        if self.base:
            agent = self._transmitter(OPTIONS["--adapter-rank"][0], SELFPLAY_RANK)
            return self._held(agent, user, self.base)
        return self._held(self._transmitter(), user, self._frozen(self._pretrained()))

    def _held(self, *roles: nn.Module) -> int:
        weights = {id(w): w for role in roles for w in (*role.parameters(), *role.buffers())}
        learning = sum(w.numel() for w in weights.values() if w.requires_grad)
        return bytes_of(weights.values()) + TRAINED * learning

    def activations(self) -> tuple[int, int]:
        """Bytes that the backward pass needs of the forward pass: plain, and recomputing."""
        on_cpu = FakeTensorMode()  # without memory too, but computed as on a CPU
        with on_cpu:
            place(self.agent, "cpu")
            every, outside = self._saved(False), self._saved(True)
        layers, width = self.config["num_hidden_layers"], self.config["hidden_size"]
        inputs = layers * ROWS * LENGTH * width * 4
        return every, outside + inputs + (every - outside) // layers

    def _saved(self, recomputes: bool) -> int:
        set_computing(self.agent, self.precision, recomputes)
        known = {storage(weight) for weight in (*self.agent.parameters(), *self.agent.buffers())}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            if storage(tensor) not in known:
                kept[storage(tensor)] = tensor
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            ids = torch.zeros(ROWS, LENGTH, dtype=torch.long)
            mask = torch.ones(ROWS, LENGTH, LENGTH, dtype=torch.bool)
            hidden = self.agent.backbone(ids, ids, mask).flatten(0, 1)
            targets = torch.zeros(TARGETS, dtype=torch.long)
            loss = token_log_likelihood(self.agent.output(hidden[targets]), targets).mean()
            assert loss.requires_grad
            return bytes_of(kept.values())


def place(network: nn.Module, device: str) -> None:
    """`Module.to`, which cannot give memory to these tensors; tied weights stay so."""
    made: dict[int, Tensor] = {}
    for module in network.modules():
        for held in (module._parameters, module._buffers):
            for name, old in held.items():
                if old is not None and id(old) not in made:
                    new = torch.empty(old.shape, dtype=old.dtype, device=device)
                    if held is module._parameters:
                        new = nn.Parameter(new, requires_grad=old.requires_grad)
                    made[id(old)] = new
                held[name] = old if old is None else made[id(old)]


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum({storage(t): t.untyped_storage().nbytes() for t in tensors}.values())


def row(name: str, kind: tuple[str, str, str]) -> str:
    """Of the table, in GB."""
    trained, precision, base_dtype = kind
    sizes = Sizes(MODELS[name], *kind)
    # in this order: the agent becomes the user
    figures = [sizes.supervised(), *sizes.activations(), sizes.selfplay()]
    figures = [figures[0], figures[3], *figures[1:3]]
    held = precision if base_dtype == "none" else base_dtype
    cells = [name, trained, held, *(f"{bytes_ / GB:.2f}" for bytes_ in figures)]
    return f"| {' | '.join(cells)} |"


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
