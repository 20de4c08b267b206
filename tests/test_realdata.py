"""The real ConvAI2 files, if they are in ../shared/data beside the checkout."""

from pathlib import Path

import pytest
import tiny

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "ConvAI2").is_dir(), reason="no real ConvAI2 files in ../shared/data"
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small GPT with the vocabulary of the real one, after 60 updates."""
    path = tmp_path_factory.mktemp("real") / "model"
    tiny.train(
        DATA,
        path,
        tokenizer=str(DATA / "openai-gpt"),
        embedding_size=32,
        text_truncate=192,
        n_positions=256,
        batchsize=2,
        max_train_steps=60,
        learningrate=5e-3,
        warmup_updates=10,
        dropout=0.0,
    )
    return path


@pytest.mark.parametrize("variant", ["self_original", "self_revised", "none", "both"])
def test_every_variant_is_evaluated(model, variant):
    report = tiny.evaluate(DATA, model, task=f"convai2:{variant}", num_examples=32, batchsize=16)
    assert report["exs"] == 32
    assert 0 <= report["hits@1"] <= 1 and report["f1"] >= 0 and report["bleu-4"] >= 0
    assert report["ppl"] < 5000  # 40,000 untrained
