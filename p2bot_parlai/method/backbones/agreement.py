"""
Whether a family of transformers computes what we take from it, measured rather than known.

A small copy of a model (its first layers, random weights, few words) is called plainly, and as
we call it: with padding in the middle, branches behind one context, positions that repeat, and
cached keys and values that go on. Both must give the same hidden states.
"""

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import Cache

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.kv_cache import growing_cache
from p2bot_parlai.method.padding import pad

WORDS = 100  # vocabulary of a copy
SHORT = 16  # tokens that show everything but a window
GAP = 1024  # cached slots that nobody sees show models that count slots instead of positions
BRANCH = 4  # tokens
# Relative to the largest value. What agrees, agrees to 1e-5; one key of 300 too many makes 1e-3.
TOLERANCE = 1e-4


class Disagreement(P2botError):
    """A family does not compute what we take from it."""


# -------------------------------------------------------------------------------- the copy
def small_copy(model: Any, seed: int) -> Any:
    """
    The same class with random weights, as many of the first layers as show each kind (two or
    more), and `WORDS` words; in evaluation mode, on the CPU.

    Weights are drawn wider than for training, so that attention is not uniform.
    """
    config = model.config
    total = getattr(config.get_text_config(), "num_hidden_layers", 1)
    kinds = {type(module) for module in model.modules()}
    count, made = min(2, total), None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        while made is None:
            small = shortened(config, count)
            if small is not None or count == total:
                how = config._attn_implementation
                made = type(model)._from_config(small or config, attn_implementation=how)
                if count < total and not kinds <= {type(module) for module in made.modules()}:
                    made = None
            count = min(2 * count, total)
        for weight in made.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    return made.float().eval()


def shortened(config: Any, count: int) -> Any:
    """None: the first ``count`` layers are not of every kind that the configuration lists."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        layers = getattr(part, "num_hidden_layers", None)
        for name, value in list(vars(part).items()):
            if isinstance(value, list) and len(value) == layers:
                if part is text and any(kind not in value[:count] for kind in value):
                    return None
                setattr(part, name, value[:count])
        with suppress(NotImplementedError):  # families with several numbers of layers stay whole
            part.num_hidden_layers = min(count, layers or count)
    text.vocab_size = min(text.vocab_size, WORDS)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        token = getattr(text, name, None)
        if isinstance(token, int) and token >= WORDS:
            setattr(text, name, 0)
    return config


def _once(measure: Callable) -> Callable:
    """Measure a configuration once in a process: a copy does not depend on a model's weights."""
    known: dict[tuple, Any] = {}

    @functools.wraps(measure)
    def remembered(model: Any, *given: Any) -> Any:
        key = (type(model), model.config.to_json_string(use_diff=False), *given)
        if key not in known:
            known[key] = measure(model, *given)
        return known[key]

    return remembered


@contextmanager
def _called_as(role: str, model: Any) -> Iterator[None]:
    """Within, whatever goes wrong is one line that names the family."""
    try:
        yield
    except Exception as error:  # of every kind: it is the code of a family that we do not know
        reason = str(error).strip().split("\n")[0]
        if not isinstance(error, Disagreement):
            reason = f"they cannot be called as ours are ({type(error).__name__}: {reason})"
        kind = model.config.model_type
        raise Disagreement(f"models of type {kind!r} cannot be {role}: {reason}") from error


def differ(found: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value expected; infinite for NaN."""
    error = (found - expected).abs().max() / expected.abs().max()
    return float(error.nan_to_num(nan=torch.inf))


# -------------------------------------------------------------------------------- backbones
def hidden_states(
    lm: Any, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None
) -> Tensor:
    """How a causal language model is called; see `p2bot_parlai.method.backbones`."""
    return lm.base_model(
        input_ids=ids,
        position_ids=positions,
        attention_mask=mask[:, None],
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state


@_once
def longest(lm: Any, length: int) -> int:
    """
    Up to how many of ``length`` tokens a causal language model reads as we mean: fewer with a
    window.

    :raises Disagreement: if not even `SHORT` tokens.
    """
    if length <= SHORT:
        check_backbone(lm, SHORT)
        return length
    low, high = longest(lm, SHORT), length + 1  # reads low, and maybe not high
    trial = length
    while high - low > 1:
        try:
            check_backbone(lm, trial)
            low = trial
        except Disagreement:
            high = trial
        trial = (low + high) // 2
    return low


def check_backbone(lm: Any, length: int) -> float:
    """
    :param length: tokens to read, `SHORT` or more.
    :return: the largest relative difference.
    :raises Disagreement: says what differs.
    """
    with _called_as("a backbone", lm):
        try:
            return _differences(small_copy(lm, seed=0), length)
        except Disagreement:
            # again: rounding may send a token to another of two experts that are equally good
            return _differences(small_copy(lm, seed=1), length)


@torch.no_grad()
def _differences(lm: Any, length: int) -> float:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, lm.get_input_embeddings().num_embeddings, (length,), generator=generator)
    other = (ids[-BRANCH:] + 1) % 7 + 3  # what else could follow
    start = SHORT - 2 * BRANCH - 2
    end = start + BRANCH

    def plain(tokens: Tensor) -> Tensor:
        return lm.base_model(input_ids=tokens[None], use_cache=False).last_hidden_state[0]

    line, branch = plain(ids), plain(torch.cat([ids[:start], other]))
    outputs = lm(input_ids=ids[None], use_cache=False).logits[0]
    if differ(branch[:start], line[:start]) > 0.01:
        raise Disagreement("they see later tokens")
    found = {
        "they change their logits after the output layer": differ(
            lm.get_output_embeddings()(line), outputs
        ),
        "positions, padding or branches in a row change what they compute": differ(
            _packed(lm, ids, other, start), torch.cat([line, branch[start:]])
        ),
        "a cache that goes on changes what they compute": differ(
            _cached(lm, ids, other, start), torch.cat([line[: end + 2], branch[start:]])
        ),
    }
    for reason, error in found.items():
        if error > TOLERANCE:
            raise Disagreement(f"{reason} (by {error:.1g} of the largest value)")
    return max(found.values())


def _packed(lm: Any, ids: Tensor, other: Tensor, start: int) -> Tensor:
    """
    One row: the beginning of a line, padding, the rest, and a branch behind the beginning.

    :return: hidden states of the line and of the branch.
    """
    length, hole, width = len(ids), 3, len(other)
    row = torch.cat([ids[:start], ids.new_zeros(hole), ids[start:], other])
    at = torch.arange(length)
    positions = torch.cat([at[:start], at.new_zeros(hole), at[start:], at[start : start + width]])
    seen = torch.ones(len(row), len(row), dtype=torch.bool).tril()
    seen[:, start : start + hole] = False
    seen[-width:, start:-width] = False
    seen |= torch.eye(len(row), dtype=torch.bool)
    hidden = hidden_states(lm, row[None], positions[None], seen[None], None)[0]
    return torch.cat([hidden[:start], hidden[start + hole :]])


def _cached(lm: Any, ids: Tensor, other: Tensor, start: int) -> Tensor:
    """
    Padding and the beginning of a line are read; then, behind slots that are not seen, more of
    the line beside a branch; then the line goes on.

    :return: hidden states of the line so far and of the branch.
    """
    end, hole = start + BRANCH, 3
    cache: Any = growing_cache()
    at = torch.arange(end + 2)

    def read(tokens: Tensor, positions: Tensor, seen: Tensor) -> Tensor:
        return hidden_states(lm, tokens[None], positions[None], seen[None], cache)[0]

    valid = torch.arange(hole + start) >= hole
    seen = torch.ones(hole + start, hole + start, dtype=torch.bool).tril() & valid
    seen |= torch.eye(hole + start, dtype=torch.bool)
    first = read(
        torch.cat([ids.new_zeros(hole), ids[:start]]), torch.cat([at[:hole] * 0, at[:start]]), seen
    )[hole:]
    for layer in cache.layers:
        layer.keys = functional.pad(layer.keys, (0, 0, 0, GAP))
        layer.values = functional.pad(layer.values, (0, 0, 0, GAP))
    valid = torch.cat([valid, torch.zeros(GAP, dtype=torch.bool)])
    own = torch.block_diag(*torch.ones(2, BRANCH, BRANCH)).bool().tril()
    second = read(
        torch.cat([ids[start:end], other]),
        torch.cat([at[start:end], at[start:end]]),
        torch.cat([valid.expand(2 * BRANCH, -1), own], dim=1),
    )
    valid = torch.cat([valid, torch.ones(BRANCH, dtype=torch.bool), torch.zeros(BRANCH).bool()])
    own = torch.ones(2, 2, dtype=torch.bool).tril()
    third = read(ids[end : end + 2], at[end:], torch.cat([valid.expand(2, -1), own], dim=1))
    return torch.cat([first, second[:BRANCH], third, second[BRANCH:]])


# --------------------------------------------------------------------------------- encoders
@_once
def check_encoder(model: Any, segments: bool) -> tuple[list[str], int | None, float]:
    """
    Sentences in one padded batch against each alone.

    :param segments: whether tokens are of one of two texts.
    :return: names of the parts of the model that its hidden states do not need; how many tokens
        its table of positions holds, if it has one; and the largest relative difference.
    :raises Disagreement: says what differs.
    """
    with _called_as("an encoder", model), torch.enable_grad():
        encoder = small_copy(model, seed=0).requires_grad_(True)  # fixed sines have none
        sentences = [[5, 6, 7, 8], [9, 10], [11, 12, 13]]
        ids, mask = pad(sentences, "cpu")
        more = {"token_type_ids": ids % 2} if segments else {}
        states = encoder(input_ids=ids, attention_mask=mask.long(), **more).last_hidden_state
        weights = list(encoder.parameters())
        gradients = torch.autograd.grad(states.sum(), weights, allow_unused=True)
        needed = {id(w) for w, g in zip(weights, gradients, strict=True) if g is not None}
        idle = [
            name
            for name, part in encoder.named_children()
            if list(part.parameters()) and not needed & {id(w) for w in part.parameters()}
        ]
        errors = []
        with torch.no_grad():
            for row, words in enumerate(sentences):
                alone = {name: of[row : row + 1, : len(words)] for name, of in more.items()}
                plain = encoder(input_ids=torch.tensor([words]), **alone).last_hidden_state[0]
                errors.append(differ(states[row, : len(words)], plain))
            with _PositionTables() as tables:
                encoder(input_ids=torch.full((1, 4), 5))  # one word again: only positions count
        if max(errors) > TOLERANCE:
            raise Disagreement(
                f"padding changes what they compute (by {max(errors):.1g} of the largest value)"
            )
    return idle, min(tables.sizes, default=None), max(errors)


class _PositionTables(TorchFunctionMode):
    """Within, ``sizes`` notes how many positions the tables have that are read in order."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is functional.embedding:
            ids, table = args[:2]
            if ids.shape[-1] > 1 and (ids.diff(dim=-1) == 1).all():
                self.sizes.append(len(table) - int(ids.min()))
        return function(*args, **(kwargs or {}))
