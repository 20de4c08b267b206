"""The real ConvAI2 files, if they are in ../shared/data beside the checkout."""

from pathlib import Path

import pytest
import tiny
from parlai.core.build_data import modelzoo_path

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


# ------------------------------------------------------------------------- what ships
@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """A data folder that models of the zoo may be written to."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "ConvAI2").symlink_to(DATA / "ConvAI2")
    return str(folder)


# Of the first three dialogues: well below what these models reach, and above what one does that was
# packed or loaded wrongly. Chance is hits@1 0.05.
@pytest.mark.parametrize(
    "name, variant, hits, f1, ppl",
    [("supervised", "self_original", 0.55, 0.12, 22), ("model", "self_revised", 0.35, 0.09, 30)],
)
def test_the_transmitters_that_ship(name, variant, hits, f1, ppl, data):
    given = {"task": f"convai2:{variant}", "eval_dialogues": "1-3", "batchsize": 16}
    report = tiny.evaluate(data, f"zoo:p2bot/smollm2/{name}", **given)
    assert report["hits@1"] > hits and report["f1"] > f1 and report["ppl"] < ppl


@pytest.mark.parametrize("variant, floor", [("self_original", 0.85), ("self_revised", 0.6)])
def test_the_receiver_that_ships(variant, floor, data):
    given = {"task": f"p2bot:persona_perception:{variant}", "eval_dialogues": "1-50"}
    path = modelzoo_path(data, "zoo:p2bot/smollm2/receiver")
    assert tiny.evaluate(data, path, **given)["hits@1"] > floor  # chance: 0.05
