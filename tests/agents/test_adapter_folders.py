"""Adapter folders: what export_hf writes, and what others share, as --adapter and in P2Bot.load."""

import json
import re
import shutil
import sys

import peft
import pytest
import tiny
import torch
import transformers
from safetensors.torch import load_file, save_file

from p2bot_parlai import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones.adapter_folder import WEIGHTS
from p2bot_parlai.method.backbones.folders import ADAPTER, DESCRIPTION, HEAD
from p2bot_parlai.method.model_files import load_transmitter, read_model_file, read_tokenizer
from p2bot_parlai.scripts.export_hf import ExportHf
from p2bot_parlai.scripts.merge_adapter import MergeAdapter

SHORT = {"adapter_rank": 2, "max_train_steps": 4, "learningrate": 0.02, "seed": 3}
LENGTHS = {"text_truncate": 100, "label_truncate": 20}
NOT_GIVEN = {**tiny.PRETRAINED, "backbone": None, "text_truncate": None, "label_truncate": None}


@pytest.fixture(scope="module")
def home(tmp_path_factory, convai2):
    """A backbone, a model of adapters on it, and its exports ``adapter`` and ``merged``."""
    folder = tmp_path_factory.mktemp("folders")
    given = {**tiny.PRETRAINED, **SHORT, **LENGTHS, "adapter": "lora", "inference": "greedy"}
    tiny.train(convai2, folder / "model", **given, backbone=tiny.save_backbone(folder / "base"))
    for name, merge in (("adapter", False), ("merged", True)):
        export = {"model_file": str(folder / "model"), "merge": merge, "loglevel": "error"}
        ExportHf.main(out=str(folder / name), **export)
    return folder


@pytest.fixture(scope="module")
def others(home):
    """A LoRA that PEFT made, of two kinds of layers, without special tokens or a tokenizer."""
    base = transformers.AutoModelForCausalLM.from_pretrained(home / "base")
    shape = {"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "v_proj"]}
    config = peft.LoraConfig(init_lora_weights=False, task_type="CAUSAL_LM", **shape)
    model = peft.get_peft_model(base, config)
    model.save_pretrained(home / "others")
    return home / "others"


@torch.no_grad()
def test_peft_alone_computes_what_the_model_does(home, capsys):
    card = (home / "adapter" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: peft\n") and str(home) not in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
    code = code.replace('"a folder"', repr(str(home / "base")))
    program: dict = {}
    exec(code.replace("path/to/this/folder", str(home / "adapter")), program)
    assert capsys.readouterr().out
    network = load_transmitter(f"{home}/model", read_tokenizer(f"{home}/model.dict"))
    ids = torch.tensor([[*network.backbone.tokens, 5, 6, 7]])
    hidden, _ = network.extend(network.nothing_read(), ids, torch.ones_like(ids).bool())
    found = program["model"](ids).logits
    torch.testing.assert_close(found, network.output(hidden), atol=1e-5, rtol=0)


def test_the_folder_is_as_small_as_the_model_file(home):
    size = (home / "model").stat().st_size
    assert (home / "adapter" / WEIGHTS).stat().st_size < size
    assert {w.dtype for w in load_file(home / "adapter" / WEIGHTS).values()} == {torch.bfloat16}


@pytest.mark.parametrize("name, option", [("adapter", "adapter"), ("merged", "backbone")])
def test_evaluation_from_the_folder_is_that_of_the_model(convai2, home, name, option):
    own = tiny.evaluate(convai2, home / "model", num_examples=6)
    given = {"model": "p2bot", "num_examples": 6, option: str(home / name)}
    found = tiny.evaluate(convai2, **given)
    kept = ("exs", "loss", "f1", "hits@1", "ppl_word")
    assert [found[metric] for metric in kept] == pytest.approx([own[m] for m in kept], rel=1e-4)


@pytest.mark.parametrize("name", ["adapter", "merged"])
def test_the_bot_of_a_folder_says_the_same(home, name):
    bots = [P2Bot.load(home / each, persona=["i own a cat."]) for each in ("model", name)]
    assert bots[0].reply("Do you have pets?") == bots[1].reply("Do you have pets?")
    own, found = (bot.speaker.agent for bot in bots)
    assert found.spelling.to_json() == own.spelling.to_json() and own.spelling.counts["speech"]
    assert found.opt["text_truncate"] == 100 and found.opt["inference"] == "greedy"
    ranked = [bot.rank(None, ["i own a cat .", "hi there !"]) for bot in bots]
    assert [text for text, _ in ranked[0]] == [text for text, _ in ranked[1]]
    assert [s for _, s in ranked[0]] == pytest.approx([s for _, s in ranked[1]], rel=1e-4)


def test_the_context_style_is_in_the_folder(original_style_model, tmp_path):
    ExportHf.main(model_file=original_style_model, out=str(tmp_path / "out"), loglevel="error")
    own, found = (P2Bot.load(path) for path in (original_style_model, tmp_path / "out"))
    assert found.speaker.agent.opt["context_style"] == "original"
    assert found.reply("hello") == own.reply("hello")


def test_training_goes_on_from_the_folder(convai2, home, tmp_path):
    path, folder = tmp_path / "model", tmp_path / "adapter"
    shutil.copytree(home / "adapter", folder)
    given = {**NOT_GIVEN, "adapter": str(folder), "learningrate": 0.02}
    given |= {"skip_generation": True, "validation_max_exs": 2}
    for steps in (2, 4):  # the second time it is resumed
        tiny.train(convai2, path, **given, max_train_steps=steps)
    shutil.rmtree(folder)
    load_transmitter(str(path), read_tokenizer(f"{path}.dict"))  # without the folder
    old, new = (read_model_file(f) for f in (home / "model", path))
    assert new["p2bot"]["backbone"]["base"] == old["p2bot"]["backbone"]["base"]
    assert new["model"].keys() == old["model"].keys()
    for key, weight in new["model"].items():
        assert weight.dtype == torch.bfloat16 and not torch.equal(weight, old["model"][key])
    opt = json.loads((tmp_path / "model.opt").read_text())
    assert (opt["text_truncate"], opt["inference"]) == (100, "beam")
    MergeAdapter.main(model_file=str(path), outfile=str(tmp_path / "merged"))
    assert read_model_file(tmp_path / "merged")["p2bot"]["options"]["adapter"] == "none"


@torch.no_grad()
def test_an_adapter_of_others_is_computed_as_peft_does(convai2, home, others, tmp_path):
    base = transformers.AutoModelForCausalLM.from_pretrained(home / "base")
    theirs = peft.PeftModel.from_pretrained(base, others)
    given = {**NOT_GIVEN, **LENGTHS, "adapter": str(others), "datatype": "valid"}
    agent = tiny.agent(convai2, tmp_path / "model", **given)
    assert (agent.opt["alpha"], agent.opt["rank_by"]) == (1.0, "likelihood")
    ids = torch.tensor([[5, 6, 7, 8]])
    network = agent.network.eval()
    hidden, _ = network.extend(network.nothing_read(), ids, torch.ones_like(ids).bool())
    expected = theirs(ids).logits
    found = network.output(hidden)[..., : expected.shape[-1]]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def changed(folder, to, weights=None, **config):
    shutil.copytree(folder, to)
    entries = json.loads((to / ADAPTER).read_text())
    (to / ADAPTER).write_text(json.dumps({**entries, **config}))
    if weights:
        save_file(weights(load_file(to / WEIGHTS)), to / WEIGHTS)
    return str(to)


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_model_name_or_path": "a/b"}, "is an adapter of a/b, not of --backbone .*base"),
        ({"use_dora": True}, "use_dora True, which is not computed here: merge"),
        ({"bias": "all"}, "bias all, which is not computed here"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save .*not computed here"),
        ({"peft_type": "LOHA"}, "peft_type LOHA, which is not computed here"),
        ({"r": "many"}, "is damaged: r many"),
        ({"r": 99}, "does not fit --backbone .*: --adapter-rank 99: .* take 1 to 16"),
        (
            {"weights": lambda w: {k.replace("q_proj", "query"): v for k, v in w.items()}},
            "does not fit --backbone .*: --adapter-targets query: .* linear layers .*q_proj",
        ),
        (
            {"weights": lambda w: {k: v for k, v in w.items() if k != FIRST}},
            r"lacks weights of the adapter \(1: .*q_proj.lora_A",
        ),
        (
            {"weights": lambda w: {**w, "base_model.model.lm_head.weight": torch.ones(3, 3)}},
            r"holds weights that are no adapter of a linear layer \(1: .*lm_head",
        ),
        ({"weights": lambda w: {**w, FIRST: torch.ones(3, 9)}}, r"is misshapen \(1: .*q_proj"),
        ({"trainable_token_indices": [1, 2]}, "lacks weights of the adapter .*token_adapter"),
    ],
)
def test_a_folder_that_does_not_fit(convai2, home, others, tmp_path, change, message):
    folder = changed(others, tmp_path / "folder", **change)
    given = {**NOT_GIVEN, **LENGTHS, "adapter": folder, "datatype": "valid"}
    given["backbone"] = str(home / "base")
    with pytest.raises(P2botError, match=message) as raised:
        tiny.agent(convai2, tmp_path / "model", **given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("adapter", "backbone", "message"),
    [
        ("lroa", None, "--adapter lroa is neither none, lora, a folder nor a hub name"),
        ("base", "base", "base is no adapter folder: it has no adapter_config.json"),
        ("adapter", "scratch", "--adapter .*: the random weights of --backbone scratch"),
        ("adapter", "other", "belong to another .*base: .* those of .*other have"),
    ],
)
def test_what_is_no_adapter_of_this_backbone(convai2, home, tmp_path, adapter, backbone, message):
    if backbone == "other":
        backbone = tiny.save_backbone(tmp_path / "other", seed=1)
    elif backbone == "base":
        backbone = str(home / "base")
    folder = adapter if adapter == "lroa" else str(home / adapter)
    given = {**NOT_GIVEN, "adapter": folder, "backbone": backbone, "datatype": "valid"}
    with pytest.raises(P2botError, match=message):
        tiny.agent(convai2, tmp_path / "model", **given)


def test_the_same_base_at_another_place_is_the_same(convai2, home, tmp_path):
    shutil.copytree(home / "base", tmp_path / "moved")
    given = {**NOT_GIVEN, "adapter": str(home / "adapter"), "datatype": "valid"}
    given["backbone"] = str(tmp_path / "moved")
    agent = tiny.agent(convai2, tmp_path / "model", **given)
    assert agent.network.backbone.base.name == str(tmp_path / "moved")


def test_the_shape_is_the_folders(convai2, home, tmp_path):
    given = {**NOT_GIVEN, "adapter": str(home / "adapter"), "datatype": "valid"}
    tiny.agent(convai2, tmp_path / "model", **given, adapter_rank=2)
    with pytest.raises(P2botError, match="--adapter-rank 4: the saved adapter has 2"):
        tiny.agent(convai2, tmp_path / "model", **given, adapter_rank=4)


DESCRIBED = {"options": {}, "spelling": {}, "next_utterance": True}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (DESCRIPTION, {}, "p2bot.json is damaged"),
        (DESCRIPTION, {**DESCRIBED, "base": {"name": "b"}}, "is damaged: it describes no base"),
        (DESCRIPTION, {**DESCRIBED, "options": {"alpha": "a"}}, "is damaged: alpha is a"),
        (HEAD, {}, "has no next-utterance head that fits"),
    ],
)
def test_a_damaged_folder_is_named(home, tmp_path, name, content, message):
    shutil.copytree(home / "adapter", tmp_path / "folder")
    (tmp_path / "folder" / name).write_text(json.dumps(content))
    with pytest.raises(P2botError, match=message):
        P2Bot.load(tmp_path / "folder")


@pytest.mark.slow
def test_without_peft_the_extra_is_named(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    for name in ("lora", "adapted", "adapter_folder"):
        monkeypatch.delitem(sys.modules, f"p2bot_parlai.method.backbones.{name}")
        monkeypatch.delattr(backbones, name)  # other tests get the first classes back
    with pytest.raises(P2botError, match=r'pip install .*"\.\[lora\]"'):
        P2Bot.load(home / "adapter")


def test_a_folder_of_another_kind_is_no_bot(home):
    with pytest.raises(P2botError, match="is neither an adapter nor a folder of parlai export_hf"):
        P2Bot.load(home / "base")


def test_a_name_that_the_hub_does_not_have(monkeypatch):
    def nothing(name, **_):
        raise OSError("no such repository\nask somebody")

    monkeypatch.setattr("p2bot_parlai.method.backbones.folders.snapshot_download", nothing)
    with pytest.raises(P2botError, match="no model at some/body: .*no such repository") as raised:
        P2Bot.load("some/body")
    assert "\n" not in str(raised.value)


def test_a_hub_name_is_a_folder(home, monkeypatch):
    folder = str(home / "adapter")
    monkeypatch.setattr(
        "p2bot_parlai.method.backbones.folders.snapshot_download", lambda name, **_: folder
    )
    assert P2Bot.load("some/adapter").speaker.agent.opt["backbone"] == str(home / "base")
