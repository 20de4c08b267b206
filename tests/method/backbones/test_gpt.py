"""Our GPT against transformers' OpenAIGPTModel."""

import pytest
import torch
from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import from_json, load_backbone
from p2bot_parlai.method.backbones.gpt import GPT, GPTConfig


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    config = OpenAIGPTConfig(vocab_size=60, n_positions=40, n_embd=32, n_layer=3, n_head=4)
    model = OpenAIGPTLMHeadModel(config).eval()
    for parameter in model.parameters():  # biases and norms start at 0 and 1: move them
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def causal(length):
    return torch.ones(1, length, length, dtype=torch.bool).tril()


def test_a_folder_agrees_with_transformers(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    ours = load_backbone(str(tmp_path)).eval()
    assert isinstance(ours, GPT)
    ids = torch.randint(0, 60, (2, 17))
    positions = torch.arange(17).expand(2, -1)
    with torch.no_grad():
        hidden = ours(ids, positions, causal(17).expand(2, -1, -1))
        torch.testing.assert_close(
            hidden, theirs.base_model(ids).last_hidden_state, atol=1e-5, rtol=0
        )
        torch.testing.assert_close(ours.logits(hidden), theirs(ids).logits, atol=1e-5, rtol=0)


def test_resize_keeps_the_old_rows_and_the_description_rebuilds_it(theirs):
    ours = GPT.from_hugging_face(theirs)
    old = ours.tokens_embed.weight.detach().clone()
    ours.resize(67)
    assert ours.tokens_embed.weight.shape == (67, 32) and ours.config.vocab_size == 67
    torch.testing.assert_close(ours.tokens_embed.weight[:60], old)
    assert ours.tokens_embed.weight.requires_grad
    ours.resize(10)
    assert len(ours.tokens_embed.weight) == 67
    again = from_json(ours.to_json())
    again.load_state_dict(ours.state_dict())
    assert again.config == ours.config


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(P2botError, match="not a multiple of 3 heads"):
        GPTConfig(n_embd=32, n_head=3)
