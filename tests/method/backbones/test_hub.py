"""Any causal language model of transformers, on tiny random configurations."""

import pytest
import torch
import transformers

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones import from_json, load_backbone
from p2bot_parlai.method.backbones.hub import CausalLM
from p2bot_parlai.method.backbones.names import SKETCH
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


def test_its_description_rebuilds_it_without_the_folder(folder):
    backbone = load_backbone(folder)
    backbone.resize(57)
    again = from_json(backbone.to_json())
    again.load_state_dict(backbone.state_dict())
    assert again.lm.get_input_embeddings().num_embeddings == 57
    assert again.hidden_size == 32 and again.max_positions == 64


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
    with pytest.raises(P2botError, match="'cohere' cannot be a backbone: they change their logits"):
        CausalLM(model)


def test_a_folder_without_weights_or_that_is_no_model_is_named(tmp_path):
    with pytest.raises(P2botError, match="cannot load .* pytorch_model.bin"):
        CONFIGS["gpt2"].save_pretrained(tmp_path / "gpt2")
        load_backbone(str(tmp_path / "gpt2"))
    with pytest.raises(P2botError, match="cannot load"):
        load_backbone(str(tmp_path))


def llama(**more):
    return transformers.LlamaConfig(**{**CONFIGS["llama"].to_dict(), **more})


@pytest.mark.parametrize("change, says", [("drop", "lacks weights"), ("layers", "no place for")])
def test_weights_that_would_stay_random_or_be_dropped_are_an_error(tmp_path, change, says):
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"])
    weights = model.state_dict()
    if change == "drop":
        del weights["model.layers.1.mlp.up_proj.weight"]
    model.save_pretrained(tmp_path, state_dict=weights)
    if change == "layers":
        llama(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(P2botError, match=rf"{says} \(.*model.layers.1.*\)") as error:
        load_backbone(str(tmp_path))
    assert "\n" not in str(error.value)


def test_the_head_of_another_task_is_not_missed(tmp_path):
    transformers.GPT2DoubleHeadsModel(CONFIGS["gpt2"]).save_pretrained(tmp_path)
    assert load_backbone(str(tmp_path)).hidden_size == 32


BART = transformers.BartConfig(
    d_model=32,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    decoder_ffn_dim=32,
    **SMALL,
)
LFM2 = transformers.Lfm2Config(
    hidden_size=32,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    layer_types=["conv", "full_attention"],
    **SMALL,
)


@pytest.mark.parametrize("config", [BART, LFM2], ids=["positions ignored", "hybrid"])
def test_what_reads_otherwise_than_we_mean_is_refused_in_one_line(config):
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    with pytest.raises(P2botError, match="cannot be a backbone: .*") as error:
        CausalLM(model)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize("window", [23, 40])
def test_a_sliding_window_is_read_up_to_its_end(window):
    mistral = {**SMALL, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = transformers.MistralConfig(sliding_window=window, **mistral, **heads)
    backbone = CausalLM(transformers.AutoModelForCausalLM.from_config(config))
    assert backbone.reads(20) == 20
    assert backbone.reads(window) == window
    assert backbone.reads(300) == window


def test_a_window_in_one_layer_of_many_is_found():
    kinds = ["full_attention"] * 3 + ["sliding_attention"]
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4}
    config = transformers.Qwen2Config(
        num_hidden_layers=4,
        layer_types=kinds,
        use_sliding_window=True,
        intermediate_size=32,
        sliding_window=24,
        **sizes,
        **SMALL,
    )
    backbone = CausalLM(transformers.AutoModelForCausalLM.from_config(config))
    assert backbone.reads(64) == 24


def test_checking_draws_no_random_numbers_and_changes_no_mode():
    model = transformers.AutoModelForCausalLM.from_config(llama(rope_theta=5.0)).train()
    before = torch.get_rng_state()
    assert CausalLM(model).lm.training
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_of_the_head_is_the_models_own():
    config = transformers.GPT2Config(**{**CONFIGS["gpt2"].to_dict(), "resid_pdrop": 0.3})
    assert CausalLM(transformers.GPT2LMHeadModel(config)).dropout == 0.3
    assert CausalLM(transformers.LlamaForCausalLM(CONFIGS["llama"])).dropout == 0


def test_the_width_is_that_of_what_the_output_layer_reads():
    config = transformers.OPTConfig(
        hidden_size=32,
        word_embed_proj_dim=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=32,
        do_layer_norm_before=False,
        **SMALL,
    )
    backbone = CausalLM(transformers.AutoModelForCausalLM.from_config(config)).eval()
    states = Transmitter(backbone).encode_context(torch.tensor([[5, 6]]), torch.ones(1, 2).bool())
    assert backbone.hidden_size == 16 and states.valid.all()


def test_the_sketch_backbone_is_built_from_options_and_from_what_was_saved():
    sizes = {"embedding_size": 16, "n_layers": 2, "n_heads": 2, "n_positions": 64, "dropout": 0.0}
    torch.manual_seed(0)
    built = backbones.build_untrained(SKETCH, 40, sizes)
    assert (built.hidden_size, built.max_positions, built.start_token) == (16, 64, None)
    again = backbones.from_json(built.to_json())
    again.load_state_dict(built.state_dict())
    ids, positions = torch.tensor([[5, 6, 7]]), torch.arange(3)[None]
    mask = torch.ones(1, 3, 3, dtype=torch.bool).tril()
    hidden = built.eval()(ids, positions, mask)
    torch.testing.assert_close(hidden, again.eval()(ids, positions, mask))
    assert built.logits(hidden).shape == (1, 3, 40)
