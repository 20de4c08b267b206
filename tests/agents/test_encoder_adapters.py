"""--adapter lora of the Receiver's encoders, and of the entailment classifier's."""

import copy

import pairs
import people
import pytest
import tiny
import torch
import transformers

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.backbones.adapted import Adapted
from p2bot_parlai.method.backbones.encoder import load_encoder
from p2bot_parlai.method.model_files import load_perceiver, read_model_file
from p2bot_parlai.metrics.nli import load_judge
from p2bot_parlai.scripts.blend_receiver import BlendReceiver
from p2bot_parlai.scripts.export_hf import ExportHf
from p2bot_parlai.scripts.merge_adapter import MergeAdapter

NOT_GIVEN = dict.fromkeys(("vocab_size", "n_layers", "n_heads", "embedding_size"))
ADAPTER = {**NOT_GIVEN, "adapter": "lora", "adapter_rank": 2, "learningrate": 0.05, "seed": 3}
SAID = ["look at these boats !", "uncle has drums .", "hello"]
PROFILE = ["i collect boats.", "my uncle sells drums."]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A tiny encoder, and Receivers on it: of two encoders, of one, and another of two."""
    home = tmp_path_factory.mktemp("encoder_adapters")
    people.write_people(home / "data")
    given = {**ADAPTER, "encoder": people.save_encoder(home / "base")}
    of_two = {**given, "adapter_targets": "value"}
    people.train(home / "data", home / "two", **of_two, save_after_valid=True)
    people.train(home / "data", home / "one", **given, share_encoders=True)
    people.train(home / "data", home / "more", **{**of_two, "adapter_rank": 3, "seed": 4})
    return home


def vectors(path) -> torch.Tensor:
    perceiver = load_perceiver(str(path))
    return torch.cat([perceiver.impressions(SAID), perceiver.profiles(PROFILE)])


def close(one, other, atol: float = 1e-5) -> None:
    torch.testing.assert_close(one, other, atol=atol, rtol=0)


def test_the_file_holds_adapters_alone_and_a_shared_encoder_once(home):
    states = read_model_file(home / "two")
    assert {name.rsplit(".", 1)[-1] for name in states["model"]} == {"lora_A", "lora_B"}
    assert {name.split(".")[-2] for name in states["model"]} == {"value"}
    assert all(weight.dtype == torch.bfloat16 for weight in states["model"].values())
    assert read_model_file(home / "two.checkpoint")["optimizer"]["state"]
    shared = read_model_file(home / "one")["model"]
    assert len({weight.data_ptr() for weight in shared.values()}) == len(shared) / 2


@pytest.mark.slow
def test_in_pieces_it_learns_the_same(tmp_path):
    """--tokens-per-batch computes layers again in the backward pass, with the adapters on."""
    people.write_people(tmp_path / "data")
    given = {**ADAPTER, "encoder": people.save_encoder(tmp_path / "base", dropout=0.0)}
    learnt = []
    for budget in (0, 20):
        path = tmp_path / str(budget)
        people.train(
            tmp_path / "data", path, **given, tokens_per_batch=budget, save_after_valid=True
        )
        learnt.append(read_model_file(f"{path}.checkpoint")["model"])
    for name, weight in learnt[0].items():
        close(learnt[1][name], weight, atol=1e-4)


def test_encoders_that_are_not_shared_have_one_base_and_an_adapter_each(home):
    network = load_perceiver(str(home / "two")).network
    assert network.impression.network is network.persona.network
    assert network.impression.names != network.persona.names
    utterance = [[1, 2, 3]]
    assert (network.impression(utterance) - network.persona(utterance)).abs().max() > 1e-3
    base = load_encoder(str(home / "base")).eval()
    with torch.no_grad():
        close(network.persona.without_adapters()(utterance), base(utterance))
    network = load_perceiver(str(home / "one")).network
    assert network.impression is network.persona


@pytest.mark.parametrize("shared", [False, True])
def test_the_base_stays_and_every_adapter_learns(home, tmp_path, shared):
    given = {**ADAPTER, "encoder": str(home / "base"), "share_encoders": shared}
    agent = people.agent(home / "data", tmp_path / "model", **given)
    before = {name: p.clone() for name, p in agent.model.named_parameters()}
    text, personas = "\n".join(SAID), ["\n".join(PROFILE), "i collect boats."]
    message = {"text": text, "labels": personas[:1], "label_candidates": personas}
    for _ in range(2):  # A has no gradient while B is 0
        agent.observe({**message, "candidate_people": [0, 1], "episode_done": True})
        agent.act()
    changed = {n for n, p in agent.model.named_parameters() if not torch.equal(p, before[n])}
    learns = {n for n, p in agent.model.named_parameters() if p.requires_grad}
    assert changed == learns and {name.split(".")[-3] for name in learns} == {"lora_A", "lora_B"}
    assert len({name.split(".")[-2] for name in learns}) == (1 if shared else 2)


@pytest.mark.parametrize("name", ["two", "one"])
def test_merged_is_unmerged(home, tmp_path, name):
    path, out = home / name, tmp_path / "whole"
    MergeAdapter.main(model_file=str(path), outfile=str(out))
    close(vectors(out), vectors(path))
    assert isinstance(load_perceiver(str(path)).network.impression, Adapted)
    with pytest.raises(UsageError, match="has no adapters"):
        MergeAdapter.main(model_file=str(out), outfile=str(tmp_path / "again"))
    ExportHf.main(model_file=str(path), out=str(tmp_path / "folder"))
    folder = tmp_path / "folder" / ("impression" if name == "two" else "")
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    perceiver = load_perceiver(str(path))
    ids = torch.tensor([perceiver.tokenizer.encode(SAID[0])])
    with torch.no_grad():
        close(theirs(ids).last_hidden_state.mean(1), perceiver.impressions(SAID[:1]))


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(home, tmp_path):
    given = {**ADAPTER, "encoder": str(home / "base"), "adapter_targets": "value"}
    for steps in (4, 6):
        people.train(home / "data", tmp_path / "parts", **given, save_after_valid=True,
                     num_epochs=None, max_train_steps=steps, tau_end=10.0)  # fmt: skip
    people.train(home / "data", tmp_path / "whole", **given, save_after_valid=True, tau_end=10.0)
    one, two = (read_model_file(f"{tmp_path / name}.checkpoint") for name in ("parts", "whole"))
    for name, weight in two["model"].items():
        close(one["model"][name], weight, 1e-6)
    assert "hits@1" in people.evaluate(home / "data", tmp_path / "parts")


def test_a_blend_with_the_pretrained_encoder_scales_the_adapter(home, tmp_path):
    for share, name in ((0.0, "none"), (1.0, "all"), (0.5, "half")):
        BlendReceiver.main(models=str(home / "two"), share=share, outfile=str(tmp_path / name))
    close(vectors(tmp_path / "all"), vectors(home / "two"))
    base, perceiver = load_encoder(str(home / "base")).eval(), load_perceiver(str(home / "two"))
    with torch.no_grad():
        texts = [perceiver.tokenizer.encode(text) for text in (*SAID, *PROFILE)]
        close(vectors(tmp_path / "none"), base(texts))
    full, half = (load_perceiver(str(tmp_path / n)).network.merged() for n in ("all", "half"))
    for name, weight in half.state_dict().items():
        start = base.state_dict()[name.split(".", 1)[1]]
        close(weight, start + 0.5 * (full.state_dict()[name] - start))


def test_a_blend_of_two_is_an_adapter_of_both_ranks(home, tmp_path):
    names, out = (home / "two", home / "more"), tmp_path / "out"
    BlendReceiver.main(models=",".join(map(str, names)), outfile=str(out))
    saved = read_model_file(out)["p2bot"]
    assert saved["encoder"]["adapters"][0]["rank"] == 5
    assert len(saved["provenance"]["blend_of"]) == 2
    blended, *parts = (load_perceiver(str(n)).network.merged().state_dict() for n in (out, *names))
    base = load_encoder(str(home / "base")).state_dict()
    for name, weight in blended.items():
        start = base[name.split(".", 1)[1]]
        close(weight, 0.5 * start + 0.25 * (parts[0][name] + parts[1][name]))
    states = copy.deepcopy(read_model_file(home / "two"))
    states["p2bot"]["encoder"]["base"]["sha256"] = "of another base"
    torch.save(states, tmp_path / "other")
    for other, what in ((home / "one", "--share-encoders"), (tmp_path / "other", "adapter")):
        with pytest.raises(P2botError, match=f"{other} has another {what} than"):
            BlendReceiver.main(models=f"{home / 'two'},{other}", outfile=str(out))


def test_another_base_is_named(home, tmp_path):
    states = copy.deepcopy(read_model_file(home / "two"))
    states["p2bot"]["encoder"]["base"]["name"] = people.save_encoder(tmp_path / "other", seed=1)
    torch.save(states, tmp_path / "model")
    with pytest.raises(P2botError, match="belong to another .*other: its weights had SHA-256"):
        load_perceiver(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "scratch", "vocab_size": 400}, "random weights of --encoder scratch"),
        ({"adapter": "none"}, "--adapter-rank 2: there is no adapter in this run"),
        ({"adapter_rank": 17}, "--adapter-rank 17: this backbone's layers take 1 to 16"),
        ({"adapter_targets": "q_proj"}, "--adapter-targets q_proj: .* query, value"),
    ],
)
def test_bad_options(home, tmp_path, changes, message):
    with pytest.raises(P2botError, match=message):
        people.train(
            home / "data", tmp_path / "m", **{**ADAPTER, "encoder": str(home / "base"), **changes}
        )


def test_a_model_of_all_weights_gets_no_adapter(home, tmp_path):
    """Its file would have been rounded as if it were one."""
    given = {**NOT_GIVEN, "encoder": None, "init_model": "zoo:p2bot/sketch/receiver"}
    with pytest.raises(UsageError, match="--adapter lora: the saved model has all its weights"):
        people.agent(home / "data", tmp_path / "model", **given, adapter="lora")


def test_the_classifier_has_adapters_too(home, tmp_path):
    data = pairs.write_pairs(tmp_path / "data")
    given = {**ADAPTER, "encoder": str(home / "base"), "max_train_steps": 3}
    pairs.train(data, tmp_path / "model", **given)
    MergeAdapter.main(model_file=str(tmp_path / "model"), outfile=str(tmp_path / "whole"))
    judges = [load_judge(str(tmp_path / name)) for name in ("model", "whole")]
    with torch.no_grad():
        close(*(judge.network([(SAID[0], PROFILE[0])], judge.tokenizer) for judge in judges))
    assert tiny.evaluate(data, tmp_path / "model", task="p2bot:persona_nli")["exs"] > 0
