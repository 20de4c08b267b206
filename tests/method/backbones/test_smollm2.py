"""The real weights of --backbone smollm2: the same model as the file that they come from."""

import math
from importlib.util import find_spec
from pathlib import Path

import naive
import pytest
import tiny
import torch
from parlai.core.agents import create_agent, create_agent_from_model_file
from parlai.core.worlds import create_task
from parlai.scripts.train_model import setup_args
from safetensors.torch import load_file

from p2bot_parlai.method.backbones import backbone_path, gguf, load_backbone, packaged
from p2bot_parlai.method.context_style import SPECIAL_TOKENS
from p2bot_parlai.method.tokenizers import P2botTokenizer

PACKAGE = packaged.LANGUAGE_MODELS["smollm2"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec(PACKAGE.module) is None, reason=PACKAGE.command),
]

SENTENCES = (
    "My name is Anna and I work as a nurse in a small hospital near the sea.",
    "What do you do for a living? I am a teacher, and I love to read books in the evening.",
    "The weather was cold this morning, so we stayed at home and baked bread.",
    "hi , how are you doing today ? i am great , i just got back from walking my two dogs .",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Converted once for this file, in a cache of its own, which the tests then use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("P2BOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = Path(backbone_path("smollm2"))
        # from here on a second conversion is a failure
        patch.setattr(gguf, "convert", None)
        yield folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return P2botTokenizer.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def backbone(folder):
    return load_backbone("smollm2").eval()


@torch.no_grad()
def perplexity(backbone, rows: list[list[int]]) -> float:
    loss = count = 0
    for ids in rows:
        logits, targets = backbone.logits(naive.read(backbone, ids)), torch.tensor(ids[1:])
        loss += torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="sum")
        count += len(targets)
    return math.exp(loss / count)


def names(layer: int) -> dict[str, str]:
    """GGUF's name of each tensor of a layer -> Hugging Face's."""
    parts = {
        **{f"attn_{kind}": f"self_attn.{kind}_proj" for kind in "qkv"},
        "attn_output": "self_attn.o_proj",
        **{f"ffn_{kind}": f"mlp.{kind}_proj" for kind in ("up", "down", "gate")},
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    }
    return {
        f"blk.{layer}.{theirs}.weight": f"model.layers.{layer}.{ours}.weight"
        for theirs, ours in parts.items()
    }


def test_every_weight_is_that_of_the_file(folder):
    """Read a second way, by gguf alone; transformers is not asked."""
    import gguf

    path = Path(find_spec(PACKAGE.module).submodule_search_locations[0]) / PACKAGE.path
    theirs = {t.name: t for t in gguf.GGUFReader(path).tensors}
    ours = load_file(folder / "model.safetensors")
    pairs = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
    }
    for layer in range(30):
        pairs.update(names(layer))
    assert set(theirs) == set(pairs) and set(ours) == set(pairs.values())
    for name, our_name in pairs.items():
        weight = gguf.dequantize(theirs[name].data, theirs[name].tensor_type)
        heads = {"attn_q": 9, "attn_k": 3}.get(name.split(".")[-2])
        if heads:
            # llama.cpp turns neighbouring pairs of a head, transformers its two halves
            rows, width = weight.shape
            weight = weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2)
            weight = weight.reshape(rows, width)
        assert ours[our_name].dtype == torch.float32
        assert torch.equal(ours[our_name], torch.tensor(weight)), name


def test_it_speaks_english(backbone, tokenizer):
    """28.4; 53 where query and key keep llama.cpp's order, 28.5 in bfloat16."""
    assert perplexity(backbone, [tokenizer.encode(text) for text in SENTENCES]) < 30


def test_text_is_tokenised_as_the_model_was_trained(tokenizer):
    assert len(tokenizer) == 49152 + len(SPECIAL_TOKENS)
    assert tokenizer.pad == 49152
    text = "i've 25 dogs , 3 cats  and a naïve 🐈 !"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    pieces = [tokenizer.backend.id_to_token(i) for i in tokenizer.encode("hello , i'm 25 .")]
    # nothing before or after, digits one by one, spaces belong to the word behind them
    assert pieces == ["hello", "Ġ,", "Ġi", "'m", "Ġ", "2", "5", "Ġ."]


def test_the_preset_trains_and_the_model_loads_without_the_package(
    folder, tmp_path, convai2, monkeypatch
):
    # plain gradient descent keeps no state: Adam's would be a gigabyte on the disk
    path, small = str(tmp_path / "model"), "-bs 2 -opt sgd --loglevel error"
    given = ["-o", "p2bot/smollm2_transmitter", "-mf", path, "-dp", str(convai2), *small.split()]
    opt = setup_args().parse_args(given)
    learner = create_agent(opt)
    world = create_task(opt, learner)
    for _ in range(2):
        world.parley()
    assert float(world.report()["ppl"]) < 1000  # 49,159 untrained
    learner.save(path)
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    bot = create_agent_from_model_file(path, {**tiny.QUIET, "inference": "greedy"})
    bot.observe({"text": "your persona: i like tea.\nhello !", "episode_done": False})
    assert bot.act()["text"]
    assert not bot.opt["skip_generation"]
