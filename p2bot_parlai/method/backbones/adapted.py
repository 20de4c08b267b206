"""
A backbone or encoder as one role has it: a frozen base, which other roles may share, with adapters.

Of its weights a model file holds those of the adapters alone, and says which base they belong to.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor, nn
from transformers import Cache

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import lora
from p2bot_parlai.method.backbones.adapters import on
from p2bot_parlai.method.checksums import weights_checksum


@dataclass(frozen=True)
class Base:
    """
    Which backbone or encoder adapters belong to.

    :param name: a preset, hub name or folder. :param sha256: of its weights.
    :param vocabulary: entries of a backbone's own vocabulary. :param size: with those of special
        tokens, which encoders do not have.
    """

    name: str
    sha256: str
    vocabulary: int = 0
    size: int = 0


def _of_base(name: str) -> Any:
    """What adapters do not change."""
    return property(lambda self: getattr(self.network, name))


class Adapted(nn.Module):
    """
    Behind the interface of `p2bot_parlai.method.backbones`, or of a `SentenceEncoder`, with every
    call in `adapters.on`.

    :param network: the backbone or encoder, frozen.
    :param base: what it is, for files.
    :param tokens: ids with rows of their own in every adapter.
    """

    def __init__(self, network: Any, base: Base, tokens: Sequence[int]):
        super().__init__()
        self.network, self.base, self.tokens = network, base, list(tokens)
        self.names: tuple[str, ...] = ()  # of the adapters, the newest last
        self.shapes: tuple[lora.Shape, ...] = ()
        self.register_load_state_dict_pre_hook(_fill_in)

    def add(self, rank: int, alpha: int, targets: Sequence[str] = ()) -> None:
        """Stack a fresh adapter (`lora.Shape`), which alone of this role's learns."""
        self.freeze()
        shape = lora.Shape(rank, alpha, tuple(targets))
        name = lora.add_adapter(self.network, shape, self.tokens, self.names)
        self.names, self.shapes = (*self.names, name), (*self.shapes, shape)

    def without_adapters(self) -> "Adapted":
        """The base as it was pretrained, as another role of it."""
        return Adapted(self.network, self.base, self.tokens)

    def merged(self) -> Any:
        """The backbone with the adapters in its weights; no role of it is left."""
        lora.merge(self.network, self.names)
        return self.network

    def freeze(self) -> None:
        """This role's adapters; those of others may learn."""
        for name in self.names:
            lora.set_trainable(self.network, name, False)

    def forward(self, *args: Any) -> Tensor:
        with on(*self.names):
            return self.network(*args)

    def logits(self, hidden: Tensor) -> Tensor:
        with on(*self.names):
            logits = self.network.logits(hidden)
        # the base as it was pretrained does not know the special tokens
        return logits if self.names else logits[..., : self.base.vocabulary]

    def layers(self) -> Iterable[nn.Module]:
        return self.network.layers()

    def new_cache(self) -> Cache:
        return self.network.new_cache()

    def reads(self, length: int) -> int:
        return self.network.reads(length)

    hidden_size, dropout = _of_base("hidden_size"), _of_base("dropout")
    max_positions, start_token = _of_base("max_positions"), _of_base("start_token")
    max_tokens = _of_base("max_tokens")  # of encoders

    # ------------------------------------------------------------------------ model files
    def to_json(self) -> dict[str, Any]:
        shapes = [{**asdict(shape), "targets": list(shape.targets)} for shape in self.shapes]
        about = {"base": asdict(self.base), "tokens": self.tokens, "adapters": shapes}
        return {"kind": "adapted", **about}

    def weights(self) -> dict[str, nn.Parameter]:
        """Those of the adapters, the oldest first."""
        return {
            f"{number}.{place}": weight
            for number, name in enumerate(self.names)
            for place, weight in lora.parameters_of(self.network, name).items()
        }

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", **kwargs: Any
    ) -> Any:
        """The adapters alone."""
        destination = {} if destination is None else destination
        for place, weight in self.weights().items():
            destination[f"{prefix}adapters.{place}"] = weight.detach()
        return destination


def _fill_in(module: Adapted, states: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Before weights are loaded: adapters under the names that they have here, and the base's."""
    ours = f"{prefix}adapters."
    given = {key.removeprefix(ours): states.pop(key) for key in list(states) if ours in key}
    wanted = module.weights()
    if odd := sorted(given.keys() ^ wanted.keys()):
        raise RuntimeError(f"{len(odd)} weights of adapters are missing or unknown: {odd[0]}")
    here = {id(weight): given[place] for place, weight in wanted.items()}
    for key, weight in module.network.state_dict(keep_vars=True).items():
        states[f"{prefix}network.{key}"] = here.get(id(weight), weight)


def on_base(
    load: Callable[[str], Any], name: str, size: int = 0, tokens: Sequence[int] = ()
) -> Adapted:
    """
    A pretrained backbone or encoder, frozen, without adapters yet.

    :param load: `load_backbone` or `load_encoder`. :param name: a preset, hub name or folder.
    :param size: of the vocabulary with special tokens; 0: there are none.
    :param tokens: ids of the special tokens.
    """
    network = load(name).requires_grad_(False)
    base = Base(name, weights_checksum(network))
    if size:
        base = replace(base, vocabulary=network.vocabulary, size=size)
        network.resize(size)
        network.requires_grad_(False)
    return Adapted(network, base, tokens)


def check_base(here: Base, wanted: Base) -> None:
    """:raises P2botError: for other weights than those that adapters were trained on."""
    if here.sha256 != wanted.sha256:
        raise P2botError(
            f"these adapters belong to another {wanted.name}: its weights had SHA-256 "
            f"{wanted.sha256[:12]}.., those of {here.name} have {here.sha256[:12]}.."
        )


def from_json(load: Callable[[str], Any], data: dict[str, Any], like: Any = None) -> Adapted:
    """
    The role that a file describes, its adapters fresh.

    :param load: as above. :param data: of `Adapted.to_json`. :param like: another role, whose base
        it shares where that is the same.
    :raises P2botError: where the base is another one than the adapters were trained on.
    """
    try:
        wanted, tokens = Base(**data["base"]), data["tokens"]
        if isinstance(like, Adapted) and like.base == wanted:
            found = Adapted(like.network, wanted, tokens)
        elif os.path.isabs(wanted.name) and not os.path.isdir(wanted.name):
            raise P2botError(f"the saved adapters need {wanted.name}: put it back, or a link to it")
        else:
            found = on_base(load, wanted.name, wanted.size, tokens)
        check_base(found.base, wanted)
        for shape in data["adapters"]:
            found.add(**shape)
    except (TypeError, KeyError) as error:
        raise P2botError(f"the saved adapters cannot be built: {error}") from error
    return found
