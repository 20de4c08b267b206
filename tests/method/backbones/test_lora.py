"""Roles on one backbone: each with its adapters, whatever else is called beside it."""

import copy
import threading

import pytest
import torch
import transformers
from torch import Tensor

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import build_untrained
from p2bot_parlai.method.backbones.adapters import Adapted, names_on, on
from p2bot_parlai.method.backbones.hub import CausalLM
from p2bot_parlai.method.backbones.lora import (
    Shape,
    add_adapter,
    load_adapter,
    merge,
    parameters_of,
    train_only,
)
from p2bot_parlai.method.backbones.precision import set_computing
from p2bot_parlai.method.context_style import APPEND, SPECIAL_TOKENS
from p2bot_parlai.method.kv_cache import ContextMemory
from p2bot_parlai.method.layout import Turn, lay_out, pack
from p2bot_parlai.method.transmitter import Transmitter

VOCABULARY = 40  # the special tokens are the last seven
SPECIAL = list(range(VOCABULARY - 7, VOCABULARY))
MARKS = APPEND.with_ids(lambda token: SPECIAL[SPECIAL_TOKENS.index(token)])
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "vocab_size": VOCABULARY,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = {
    "gpt2": transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=VOCABULARY),
    "llama": transformers.LlamaConfig(tie_word_embeddings=False, **SIZES),
    "qwen2": transformers.Qwen2Config(tie_word_embeddings=True, **SIZES),
}
SHAPE = Shape(rank=3, alpha=6)


def backbone(kind: str):
    torch.manual_seed(0)
    if kind == "gpt":
        sizes = {"n_positions": 64, "embedding_size": 16, "n_layers": 2, "n_heads": 2}
        return build_untrained("scratch", VOCABULARY, {**sizes, "dropout": 0.0}).eval()
    return CausalLM.from_json({**CONFIGS[kind].to_dict(), "model_type": kind}).eval()


@pytest.fixture(params=["gpt", *CONFIGS])
def base(request):
    return backbone(request.param)


def stir(network, name: str, seed: int = 1) -> None:
    """Weights as if they were trained: B is no longer 0."""
    generator = torch.Generator().manual_seed(seed)
    for weight in parameters_of(network, name).values():
        weight.data += 0.3 * torch.randn(weight.shape, generator=generator)


def trained(network, below=(), seed: int = 1) -> str:
    name = add_adapter(network, SHAPE, SPECIAL, below)
    stir(network, name, seed)
    return name


IDS = torch.tensor([[SPECIAL[1], 5, 6, SPECIAL[2], SPECIAL[3], 7, 8, 9]])


def logits(network, ids: Tensor = IDS) -> Tensor:
    length = ids.shape[1]
    mask = torch.ones(1, length, length, dtype=torch.bool).tril()
    return network.logits(network(ids, torch.arange(length)[None], mask))


def close(one, other) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def differ(one, other) -> bool:
    return bool((one - other).abs().max() > 1e-3)


@torch.no_grad()
def test_a_fresh_adapter_changes_nothing_and_off_is_the_base(base):
    plain = logits(base)
    name = add_adapter(base, SHAPE, SPECIAL)
    close(logits(Adapted(base, name)), plain)
    stir(base, name)
    assert differ(logits(Adapted(base, name)), plain)
    close(logits(Adapted(base)), plain)
    close(logits(base), plain)


@torch.no_grad()
def test_the_equation_by_hand(base):
    """h = W x + (alpha / r) B A x, in one layer."""
    name = trained(base)
    place = next(key for key in parameters_of(base, name) if key.endswith("lora_A"))
    layer = base.get_submodule(place.removesuffix(".lora_A"))
    x = torch.randn(4, layer.in_features)
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    with on(name):
        close(layer(x), layer.base_layer(x) + 6 / 3 * (x @ a.T) @ b.T)


@torch.no_grad()
def test_adapters_add_up_and_the_newest_rows_count(base):
    first = trained(base)
    second = add_adapter(base, SHAPE, SPECIAL, [first])
    close(logits(Adapted(base, first, second)), logits(Adapted(base, first)))
    stir(base, second, 2)
    both = logits(Adapted(base, first, second))
    assert differ(both, logits(Adapted(base, first)))
    merge(base, [first, second])
    close(logits(base), both)


@torch.no_grad()
def test_merged_is_unmerged_packed_and_cached_are_one_by_one(base):
    network = Transmitter(Adapted(base, trained(base))).eval()
    turns = [
        Turn([SPECIAL[1], 5, SPECIAL[2], SPECIAL[3], 7], [9, MARKS.eos], [[4, 3, MARKS.eos]]),
    ]
    said = [*turns[0].context, MARKS.self_, *turns[0].response, MARKS.partner, 11, 12]
    turns.append(Turn(said, [6, 7, MARKS.eos], [[8, MARKS.eos]]))
    found, scores = network(pack(turns, MARKS))
    alone = [network(pack([turn], MARKS)) for turn in turns]
    close(found, torch.cat([each for each, _ in alone]))
    close(scores, torch.cat([each for _, each in alone]))

    memory = ContextMemory()
    memory.read(network, {0: turns[0].context})
    branches = lay_out([[turns[1].response, *turns[1].distractors]], MARKS)
    hidden, cached = network.read(branches, memory.read(network, {0: turns[1].context}))
    close(cached, alone[1][1])
    own = branches.target_index[0][: len(turns[1].response)]
    close(network.output(hidden[own]), alone[1][0])

    merge(base, network.backbone.names)
    plain = Transmitter(base).eval()
    plain.next_utterance = network.next_utterance
    close(plain(pack(turns, MARKS))[0], found)


def test_one_role_learns_and_the_others_stay(base):
    user = trained(base)
    agent = add_adapter(base, SHAPE, SPECIAL, [user])
    roles = [Adapted(base), Adapted(base, user), Adapted(base, user, agent)]
    with torch.no_grad():
        before = [logits(role) for role in roles]
    learnt = {id(p) for p in parameters_of(base, agent).values()}
    assert {id(p) for p in base.parameters() if p.requires_grad} == learnt
    optimizer = torch.optim.SGD([p for p in base.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):  # A has no gradient while B is 0
        optimizer.zero_grad()
        logits(roles[2]).log_softmax(-1)[..., 3].sum().backward()
        with torch.no_grad():  # another role in between
            logits(roles[1])
        optimizer.step()
    with torch.no_grad():
        after = [logits(role) for role in roles]
    close(after[0], before[0])
    close(after[1], before[1])
    assert differ(after[2], before[2])
    assert all(p.grad is not None and p.grad.any() for p in parameters_of(base, agent).values())


def test_recomputed_layers_have_the_adapters_of_the_forward_pass(base):
    """Gradient checkpointing calls the layers again, when the adapters are those of another."""
    name, other = trained(base), trained(base, seed=2)
    gradients = []
    for recompute in (False, True):
        set_computing(base, "fp32", recompute)
        train_only(base, name)
        base.zero_grad()
        loss = logits(Adapted(base, name)).logsumexp(-1).sum()
        with on(other):
            loss.backward()
        gradients.append([p.grad.clone() for p in parameters_of(base, name).values()])
    for one, two in zip(*gradients, strict=True):
        close(two, one)


def test_an_exception_leaves_no_adapter_on(base):
    role = Adapted(base, trained(base))
    with pytest.raises((RuntimeError, IndexError)):
        role(torch.tensor([[VOCABULARY + 5]]), torch.zeros(1, 1, dtype=torch.long), torch.ones(1))
    assert names_on() == ()


@torch.no_grad()
def test_threads_do_not_disturb_each_other(base):
    roles = [Adapted(base, trained(base, seed=seed)) for seed in (1, 2)]
    expected, wrong = [logits(role) for role in roles], []

    def talk(number):
        with torch.no_grad():
            for _ in range(20):
                found = logits(roles[number])
                wrong.append(bool((found - expected[number]).abs().max() > 1e-5))

    threads = [threading.Thread(target=talk, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(wrong) and len(wrong) == 40


@torch.no_grad()
def test_a_memory_of_one_role_is_void_for_another(base):
    roles = [Transmitter(Adapted(base, trained(base, seed=seed))).eval() for seed in (1, 2)]
    memory, context = ContextMemory(), {0: IDS[0].tolist()}
    memory.read(roles[0], context)
    new = ContextMemory().read(roles[1], context)
    found = memory.read(roles[1], context)
    close(found.cache.layers[1].keys, new.cache.layers[1].keys)


def test_weights_go_from_one_backbone_to_another(base):
    name, other = trained(base), copy.deepcopy(base)
    for network in (base, other):
        fresh = add_adapter(network, SHAPE, SPECIAL)
    load_adapter(other, fresh, parameters_of(base, name))
    with torch.no_grad():
        close(logits(Adapted(other, fresh)), logits(Adapted(base, name)))
    weights = dict(parameters_of(base, name))
    weights.popitem()
    with pytest.raises(P2botError, match="do not fit"):
        load_adapter(other, fresh, weights)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape(0, 1), "--adapter-rank 0: this backbone's layers take 1 to 8"),
        (Shape(9, 1), "--adapter-rank 9: this backbone's layers take 1 to 8"),
        (Shape(3, 6, ("query",)), "--adapter-targets query: .* k_proj, .*q_proj"),
    ],
)
def test_shapes_that_do_not_fit(shape, message):
    with pytest.raises(P2botError, match=message):
        add_adapter(backbone("llama"), shape, SPECIAL)


def test_chosen_layers_alone_are_adapted():
    network = backbone("llama")
    name = add_adapter(network, Shape(3, 6, ("q_proj", "v_proj")), SPECIAL)
    layers = {key.split(".")[-2] for key in parameters_of(network, name) if "lora" in key}
    assert layers == {"q_proj", "v_proj"}
