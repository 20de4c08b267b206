"""parlai export_hf: plain transformers computes what our agents compute."""

import json
import re
from pathlib import Path

import people
import pytest
import tiny
import torch
from parlai.core.build_data import modelzoo_path
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BartConfig,
    BartModel,
    T5Config,
    T5Model,
)

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.encoder import SentenceEncoder, encoder_path, load_encoder
from p2bot_parlai.method.context import Dialogue, build_context
from p2bot_parlai.method.model_files import load_perceiver, load_transmitter, read_tokenizer
from p2bot_parlai.method.tokenizers import SentenceTokenizer
from p2bot_parlai.scripts.export_hf import ExportHf
from p2bot_parlai.tools.export.chat_template import messages_of
from p2bot_parlai.tools.export.receiver import write_encoder

TALK = Dialogue(
    ["i like tea.", "i have two dogs."],
    turns=[(False, "hi , do you have pets ?"), (True, "i do ."), (False, "which ones ?")],
)
SENTENCES = ["i walk my dogs .", "tea", "look at these boats ! please no drums ."]


def export(model, out, **options) -> Path:
    ExportHf.main(model_file=model, out=str(out), loglevel="error", **options)
    return Path(out)


@pytest.fixture(scope="module")
def sketch(tmp_path_factory) -> str:
    """The Llama that ships."""
    return modelzoo_path(str(tmp_path_factory.mktemp("zoo")), "zoo:p2bot/sketch/model")


@pytest.fixture(scope="module", params=["GPT", "Llama"])
def transmitter(request, tmp_path_factory, tiny_model):
    """(model file, its export) of either kind of backbone."""
    model = tiny_model if request.param == "GPT" else request.getfixturevalue("sketch")
    return model, export(model, tmp_path_factory.mktemp("export") / "out")


# ------------------------------------------------------------------------- the Transmitter
@torch.no_grad()
def test_plain_transformers_gives_the_same_logits(transmitter):
    model, folder = transmitter
    ours = load_transmitter(model, read_tokenizer(f"{model}.dict"))
    ids = torch.tensor([[*build_context(TALK, read_tokenizer(f"{model}.dict")).ids, 0]])
    ids[0, -1] = read_tokenizer(f"{model}.dict").self_
    states, valid = ours.nothing_read(), torch.ones_like(ids, dtype=torch.bool)
    hidden, _ = ours.extend(states, ids, valid)

    lm = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer.apply_chat_template(
        messages_of(TALK), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    assert inputs["input_ids"].tolist() == ids.tolist()
    read = lm(**inputs, output_hidden_states=True)
    torch.testing.assert_close(read.logits, ours.output(hidden), atol=1e-5, rtol=1e-5)

    head = load_file(folder / "next_utterance.safetensors")
    score = read.hidden_states[-1] @ head["weight"].T + head["bias"]
    torch.testing.assert_close(score, ours.next_utterance(hidden), atol=1e-5, rtol=1e-5)


def test_backbone_loads_it_back(transmitter, convai2, tmp_path):
    model, folder = transmitter
    ours = load_transmitter(model, read_tokenizer(f"{model}.dict"))
    given = dict.fromkeys(("vocab_size", "n_layers", "n_heads", "embedding_size", "n_positions"))
    agent = tiny.agent(
        convai2, tmp_path / "new", **{**given, "backbone": str(folder), "datatype": "valid"}
    )
    assert agent.dict.txt2vec(SENTENCES[2]) == read_tokenizer(f"{model}.dict").encode(SENTENCES[2])
    for name, weight in ours.backbone.state_dict().items():
        torch.testing.assert_close(agent.network.backbone.state_dict()[name], weight)


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"inference": "greedy"}, {"do_sample": False, "num_beams": 1}),
        ({"inference": "topk", "topk": 9, "temperature": 0.5}, {"top_k": 9, "temperature": 0.5}),
        ({"inference": "beam", "beam_size": 5, "beam_block_ngram": 3}, {"no_repeat_ngram_size": 3}),
    ],
)
def test_decoding_is_kept_as_far_as_it_is_known(tiny_model, tmp_path, options, expected):
    folder = export(tiny_model, tmp_path / "out", **options)
    written = json.loads((folder / "generation_config.json").read_text())
    assert {name: written.get(name, 1) for name in expected} == expected
    assert written["max_new_tokens"] == 24


# ---------------------------------------------------------------------------- the Receiver
def encoded(folder, sentences):
    return SentenceTransformer(str(folder), device="cpu").encode(sentences, convert_to_tensor=True)


def test_sentence_vectors_agree(tmp_path):
    model = str(tmp_path / "model")
    data = people.write_people(tmp_path / "data")
    people.train(data, model, seed=1, share_encoders=True, max_train_steps=1)
    folder = export(model, tmp_path / "out")
    said = [*SENTENCES, " ".join(SENTENCES * 5)]  # the last is more than --text-truncate
    ours = load_perceiver(model).impressions(said)
    assert "SentenceTransformer(folder)" in (folder / "README.md").read_text()
    torch.testing.assert_close(encoded(folder, said), ours, atol=1e-5, rtol=0)
    # Eq. 11 without its 1 / sqrt(d)
    similarity = SentenceTransformer(str(folder), device="cpu").similarity(ours, ours)
    torch.testing.assert_close(similarity, ours @ ours.T, atol=1e-4, rtol=0)


def test_two_encoders_are_two_folders(tiny_receiver, tmp_path):
    folder, ours = export(tiny_receiver, tmp_path / "out"), load_perceiver(tiny_receiver)
    said, profiles = (encoded(folder / name, SENTENCES) for name in ("impression", "persona"))
    torch.testing.assert_close(said, ours.impressions(SENTENCES), atol=1e-5, rtol=0)
    torch.testing.assert_close(profiles, ours.profiles(SENTENCES), atol=1e-5, rtol=0)
    assert not torch.allclose(said, profiles, atol=1e-3)
    assert '/impression").encode' in (folder / "README.md").read_text()


def test_a_pretrained_encoder_keeps_its_special_tokens(tmp_path):
    encoder = load_encoder("minilm").eval()
    tokenizer = SentenceTokenizer.from_pretrained(encoder_path("minilm"))
    tokenizer.limit(8)
    write_encoder(encoder, tokenizer, 8, tmp_path / "out")
    with torch.no_grad():
        ours = encoder([tokenizer.encode(sentence) for sentence in SENTENCES])
    torch.testing.assert_close(encoded(tmp_path / "out", SENTENCES), ours, atol=1e-5, rtol=0)


HALF = {"d_model": 16, "vocab_size": 60, "decoder_attention_heads": 2}


def test_the_encoder_of_t5_is_found_again(tmp_path, tiny_receiver):
    config = T5Config(d_kv=8, d_ff=32, num_layers=2, num_heads=2, d_model=16, vocab_size=60)
    ours = SentenceEncoder(T5Model(config)).eval()
    tokenizer = load_perceiver(tiny_receiver).tokenizer
    write_encoder(ours, tokenizer, 32, tmp_path / "out")
    ids = [[5, 6, 7], [8, 9]]
    with torch.no_grad():
        expected = ours(ids)
        assert torch.equal(load_encoder(str(tmp_path / "out")).eval()(ids), expected)
        for _ in range(2):
            read = SentenceTransformer(str(tmp_path / "out"), device="cpu")[0].auto_model
            mean = read(torch.tensor(ids[:1])).last_hidden_state.mean(1)
            torch.testing.assert_close(mean, expected[:1], atol=1e-6, rtol=0)


def test_the_encoder_of_bart_cannot_be_found_again_and_is_not_written(tmp_path, tiny_receiver):
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    config = BartConfig(encoder_ffn_dim=16, decoder_ffn_dim=16, **sizes, **HALF)
    tokenizer = load_perceiver(tiny_receiver).tokenizer
    with pytest.raises(P2botError, match="Receiver on 'bart' cannot be exported"):
        write_encoder(SentenceEncoder(BartModel(config)), tokenizer, 32, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------ the command


def test_the_program_on_the_card_runs(transmitter, capsys):
    _, folder = transmitter
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    exec(code.replace("path/to/this/folder", str(folder)), {})
    assert capsys.readouterr().out
