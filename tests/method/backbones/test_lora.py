"""Roles on one backbone: each with its adapters, whatever else is called beside it."""

import copy
import threading

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import build_untrained, load_backbone
from p2bot_parlai.method.backbones.adapted import Adapted, Base, on_base
from p2bot_parlai.method.backbones.adapter_folder import WEIGHTS, read_adapter, write_adapter
from p2bot_parlai.method.backbones.adapters import names_on, on
from p2bot_parlai.method.backbones.hub import CausalLM
from p2bot_parlai.method.backbones.lora import merge, parameters_of
from p2bot_parlai.method.backbones.precision import set_computing
from p2bot_parlai.method.context_style import APPEND, SPECIAL_TOKENS
from p2bot_parlai.method.kv_cache import ContextMemory
from p2bot_parlai.method.layout import Turn, lay_out, pack
from p2bot_parlai.method.transmitter import Transmitter
from p2bot_parlai.tools.export.transmitter import language_model

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


def backbone(kind: str):
    torch.manual_seed(0)
    if kind == "gpt":
        sizes = {"n_positions": 64, "embedding_size": 16, "n_layers": 2, "n_heads": 2}
        found = build_untrained("scratch", VOCABULARY, {**sizes, "dropout": 0.0})
    else:
        found = CausalLM.from_json({**CONFIGS[kind].to_dict(), "model_type": kind})
    return found.eval().requires_grad_(False)


@pytest.fixture(params=["gpt", *CONFIGS])
def base(request):
    return backbone(request.param)


def role(network, like: Adapted | None = None) -> Adapted:
    """The base alone, or with fresh adapters as many as another has, and its weights."""
    found = Adapted(network, Base("tiny", "", VOCABULARY, VOCABULARY), SPECIAL)
    if like:
        for _ in like.names:
            found.add(rank=3, alpha=6)
        found.load_state_dict(like.state_dict())
    return found


def stir(adapted: Adapted, seed: int = 1) -> Adapted:
    """Weights of the newest adapter as if they were trained: B is no longer 0."""
    generator = torch.Generator().manual_seed(seed)
    for weight in parameters_of(adapted.network, adapted.names[-1]).values():
        weight.data += 0.3 * torch.randn(weight.shape, generator=generator)
    return adapted


def trained(network, seed: int = 1) -> Adapted:
    found = role(network)
    found.add(rank=3, alpha=6)
    return stir(found, seed)


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
    adapted = role(base)
    adapted.add(rank=3, alpha=6)
    close(logits(adapted), plain)
    assert differ(logits(stir(adapted)), plain)
    close(logits(adapted.without_adapters()), plain)
    close(logits(base), plain)


@torch.no_grad()
def test_the_equation_by_hand(base):
    """h = W x + (alpha / r) B A x, in one layer."""
    (name,) = trained(base).names
    place = next(key for key in parameters_of(base, name) if key.endswith("lora_A"))
    layer = base.get_submodule(place.removesuffix(".lora_A"))
    x = torch.randn(4, layer.in_features)
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    with on(name):
        close(layer(x), layer.base_layer(x) + 6 / 3 * (x @ a.T) @ b.T)


@torch.no_grad()
def test_adapters_add_up_and_the_newest_rows_count(base):
    agent = trained(base)
    user = role(base, agent)
    agent.add(rank=2, alpha=4)
    close(logits(agent), logits(user))
    both = logits(stir(agent, 2))
    assert differ(both, logits(user))
    merge(base, agent.names)
    close(logits(base), both)


@torch.no_grad()
def test_merged_is_unmerged_packed_and_cached_are_one_by_one(base):
    adapted = trained(base)
    network = Transmitter(adapted).eval()
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

    merge(base, adapted.names)
    plain = Transmitter(base).eval()
    plain.next_utterance = network.next_utterance
    close(plain(pack(turns, MARKS))[0], found)


@torch.no_grad()
def test_peft_reads_a_folder_of_their_sum(base, tmp_path):
    """Of two adapters, one for some layers alone; with special tokens that the base lacks."""
    lm = language_model(base)
    lm.save_pretrained(tmp_path / "base")
    size, tokens = VOCABULARY + 3, [VOCABULARY, VOCABULARY + 1, VOCABULARY + 2]
    agent = on_base(load_backbone, str(tmp_path / "base"), size, tokens)
    agent.add(rank=3, alpha=6)
    one = next(key for key in stir(agent).weights() if key.endswith("lora_A")).split(".")[-2]
    agent.add(rank=2, alpha=5, targets=[one])
    ids = torch.tensor([[*tokens, 5, 6, 7]])
    expected = logits(stir(agent, 2), ids)
    write_adapter(agent, tmp_path)

    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    plain.resize_token_embeddings(size)
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path)
    close(theirs(ids).logits, expected)
    theirs.save_pretrained(tmp_path / "again", save_embedding_layers=False)
    written, again = (load_file(tmp_path / n / WEIGHTS) for n in (".", "again"))
    assert {k: w.shape for k, w in written.items()} == {k: w.shape for k, w in again.items()}
    back = read_adapter(str(tmp_path), str(tmp_path / "base"), size, tokens)
    close(logits(back, ids), expected)


def test_one_role_learns_and_the_others_stay(base):
    agent = trained(base)
    style, user = role(base), role(base, agent)
    user.freeze()
    agent.add(rank=3, alpha=6)
    roles = [style, user, agent]
    with torch.no_grad():
        before = [logits(each) for each in roles]
    newest = parameters_of(base, agent.names[-1]).values()
    learnt = [p for p in base.parameters() if p.requires_grad]
    assert {id(p) for p in learnt} == {id(p) for p in newest}
    optimizer = torch.optim.SGD(learnt, lr=1.0)
    for _ in range(2):  # A has no gradient while B is 0
        optimizer.zero_grad()
        logits(agent).log_softmax(-1)[..., 3].sum().backward()
        with torch.no_grad():  # another role in between
            logits(user)
        optimizer.step()
    with torch.no_grad():
        after = [logits(each) for each in roles]
    close(after[0], before[0])
    close(after[1], before[1])
    assert differ(after[2], before[2])
    assert all(p.grad is not None and p.grad.any() for p in newest)


def test_recomputed_layers_have_the_adapters_of_the_forward_pass(base):
    """Gradient checkpointing calls the layers again, when the adapters are those of another."""
    adapted, other = trained(base), trained(base, seed=2)
    gradients = []
    for recompute in (False, True):
        set_computing(base, "fp32", recompute)
        base.zero_grad()
        loss = logits(adapted).logsumexp(-1).sum()
        with on(*other.names):
            loss.backward()
        gradients.append([p.grad.clone() for p in adapted.weights().values()])
    for one, two in zip(*gradients, strict=True):
        close(two, one)


def test_an_exception_leaves_no_adapter_on(base):
    adapted = trained(base)
    with pytest.raises((RuntimeError, IndexError)):
        adapted(
            torch.tensor([[VOCABULARY + 5]]), torch.zeros(1, 1, dtype=torch.long), torch.ones(1)
        )
    assert names_on() == ()


@torch.no_grad()
def test_threads_do_not_disturb_each_other(base):
    roles = [trained(base, seed) for seed in (1, 2)]
    expected, wrong = [logits(each) for each in roles], []

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
    roles = [Transmitter(trained(base, seed)).eval() for seed in (1, 2)]
    memory, context = ContextMemory(), {0: IDS[0].tolist()}
    memory.read(roles[0], context)
    new = ContextMemory().read(roles[1], context)
    found = memory.read(roles[1], context)
    close(found.cache.layers[1].keys, new.cache.layers[1].keys)


@torch.no_grad()
def test_a_file_holds_the_adapters_alone(base):
    network = Transmitter(trained(base))
    states = network.state_dict()
    size = sum(weight.numel() for weight in states.values())
    assert size == sum(p.numel() for p in network.parameters() if p.requires_grad)
    other = Transmitter(role(copy.deepcopy(base), network.backbone))
    other.load_state_dict(states)
    close(logits(other.backbone), logits(network.backbone))
    states.popitem(), states.popitem(), states.popitem()
    with pytest.raises(RuntimeError, match="missing"):
        other.load_state_dict(states)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"rank": 0, "alpha": 1}, "--adapter-rank 0: this backbone's layers take 1 to 8"),
        ({"rank": 9, "alpha": 1}, "--adapter-rank 9: this backbone's layers take 1 to 8"),
        (
            {"rank": 3, "alpha": 6, "targets": ["query"]},
            "--adapter-targets query: .* k_proj, .*q_proj",
        ),
    ],
)
def test_shapes_that_do_not_fit(shape, message):
    with pytest.raises(P2botError, match=message):
        role(backbone("llama")).add(**shape)


def test_chosen_layers_alone_are_adapted():
    adapted = role(backbone("llama"))
    adapted.add(3, 6, ("q_proj", "v_proj"))
    layers = {key.split(".")[-2] for key in adapted.weights() if "lora" in key}
    assert layers == {"q_proj", "v_proj"}


def test_a_family_whose_layers_are_unknown():
    """The blocks hold other layers than linear ones, or no block is marked as such."""
    network = backbone("llama")
    for block in network.layers():
        block.self_attn = block.mlp = torch.nn.Identity()
    with pytest.raises(P2botError, match="no linear layers to adapt: train all .*--adapter none"):
        role(network).add(rank=3, alpha=6)
    network.lm.model.layers = torch.nn.ModuleList()
    with pytest.raises(P2botError, match="type 'llama' do not mark their layers.*choose another"):
        role(network).add(rank=3, alpha=6)


def test_an_output_layer_whose_bias_peft_would_drop_is_not_written(tmp_path):
    network = backbone("llama")
    network.lm.lm_head.bias = torch.nn.Parameter(torch.ones(VOCABULARY))
    with pytest.raises(P2botError, match="PEFT drops the bias .* --merge true"):
        write_adapter(trained(network), tmp_path)
