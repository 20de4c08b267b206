"""Any causal language model of transformers, on tiny random configurations."""

import pytest
import torch
import transformers

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import load_backbone
from p2bot_parlai.method.backbones.hub import CausalLM
from p2bot_parlai.method.kv_cache import ContextStates
from p2bot_parlai.method.transmitter import Transmitter

SMALL = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
CONFIGS = {
    "gpt2": transformers.GPT2Config(n_positions=64, n_embd=32, n_layer=2, n_head=4, **SMALL),
    "llama": transformers.LlamaConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        **SMALL,
    ),
}


@pytest.fixture(params=CONFIGS)
def folder(request, tmp_path):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[request.param])
    model.save_pretrained(tmp_path)
    return str(tmp_path)


def test_explicit_masks_agree_with_transformers_own_path(folder):
    backbone = load_backbone(folder).eval()
    assert backbone.hidden_size == 32 and backbone.max_positions == 64
    ids = torch.randint(3, 50, (2, 9))
    mask = torch.ones(2, 9, 9, dtype=torch.bool).tril()
    with torch.no_grad():
        hidden = backbone(ids, torch.arange(9).expand(2, -1), mask)
        torch.testing.assert_close(
            backbone.logits(hidden), backbone.lm(ids).logits, atol=1e-5, rtol=0
        )


def test_padded_and_cached_is_the_same_as_plain(folder):
    model = Transmitter(load_backbone(folder)).eval()
    ids = torch.randint(3, 50, (1, 9))
    with torch.no_grad():
        plain = model.backbone.lm.base_model(ids).last_hidden_state
        padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids[:, :6]], dim=1)
        valid = torch.arange(9)[None] >= 3
        states = model.encode_context(padded, valid)
        hidden, _ = model.extend(states, ids[:, 6:], torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(hidden, plain[:, 6:], atol=1e-5, rtol=0)


@torch.no_grad()
def test_hypotheses_of_a_shared_cache_are_the_same_as_plain(folder):
    model = Transmitter(load_backbone(folder)).eval()
    ids = torch.randint(3, 50, (1, 9))
    states = model.encode_context(ids[:, :6], torch.ones(1, 6, dtype=torch.bool))
    shorter = states.keep(torch.tensor([0]), torch.tensor([4]))
    states = ContextStates.join([shorter, states])
    # of the first row two hypotheses begin with 5 and 7; both next go on from the second
    seen = states.valid[:, None].expand(-1, 2, -1)
    _, states = model.step(states, torch.tensor([[5, 7], [5, 7]]), seen)
    parents = torch.tensor([[False, True], [False, True]]).expand(2, -1, -1)
    hidden, _ = model.step(states, torch.tensor([[8, 9], [8, 9]]), torch.cat([seen, parents], 2))
    for row, length in enumerate((4, 6)):
        for k, word in enumerate((8, 9)):
            line = torch.cat([ids[:, :length], torch.tensor([[7, word]])], dim=1)
            plain = model.backbone.lm.base_model(line).last_hidden_state[0, -1]
            torch.testing.assert_close(hidden[row, k], plain, atol=1e-5, rtol=0)


def test_a_model_that_changes_its_logits_is_refused():
    config = transformers.CohereConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        logit_scale=0.25,
        **SMALL,
    )
    config._attn_implementation = "sdpa"
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.5)
    with pytest.raises(P2botError, match="'cohere' change their logits"):
        CausalLM(model)


def test_a_folder_without_weights_says_how_to_train_from_scratch(tmp_path):
    CONFIGS["gpt2"].save_pretrained(tmp_path)
    with pytest.raises(P2botError, match="holds no weights.*--backbone scratch --tokenizer"):
        load_backbone(str(tmp_path))
