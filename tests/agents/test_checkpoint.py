"""Model files: offline, complete, never executed, never silently contradicted."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
import transformers
from convai2_files import write_convai2
from parlai.core.agents import create_agent_from_model_file

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.method.tokenizers import P2botTokenizer


@pytest.fixture
def copy(tiny_model, tmp_path):
    """Of the tiny model, to be damaged; it reads the dictionary beside it."""
    for suffix in ("", ".dict"):
        shutil.copy(tiny_model + suffix, tmp_path / f"model{suffix}")
    with open(f"{tiny_model}.opt") as file:
        opt = {**json.load(file), "dict_file": None}
    (tmp_path / "model.opt").write_text(json.dumps(opt))
    return tmp_path / "model"


@pytest.fixture
def hub_folder(tmp_path):
    """A pretrained model of someone's, with a tokenizer, as the hub would give it."""
    folder = tmp_path / "hub"
    config = transformers.GPT2Config(
        vocab_size=400,
        n_positions=256,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=1,
        eos_token_id=1,
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer = P2botTokenizer.train(["i live in Bern . i eat soup"], vocab_size=300)
    tokenizer.backend.save(str(folder / "tokenizer.json"))
    return folder


def test_any_hugging_face_model_trains_and_loads_without_it(convai2, tmp_path, hub_folder):
    model_file = tmp_path / "model"
    tiny.train(convai2, model_file, backbone=str(hub_folder), max_train_steps=2)
    before = tiny.evaluate(convai2, model_file)
    shutil.rmtree(hub_folder)
    after = tiny.evaluate(convai2, model_file)
    for name in ("ppl", "hits@1", "f1"):
        assert after[name] == pytest.approx(before[name]), name


def test_a_model_is_loaded_in_a_new_process_from_its_file_alone(tiny_model):
    code = (
        "from parlai.core.agents import create_agent_from_model_file as load;"
        f"bot = load({tiny_model!r});"
        "bot.observe({'text': 'hello', 'episode_done': True}); print(bot.act()['text'])"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda states: states.pop("p2bot"), "was not saved by an agent of p2bot_parlai"),
        (lambda states: states["p2bot"].update(format=99), "newer p2bot_parlai; upgrade"),
        (lambda states: states["p2bot"]["backbone"].update(n_embd=32), "do not fit"),
    ],
)
def test_a_model_file_that_cannot_be_used_is_named(copy, change, message):
    states = torch.load(copy, weights_only=True)
    change(states)
    torch.save(states, copy)
    with pytest.raises(P2botError, match=message):
        create_agent_from_model_file(str(copy))


@pytest.mark.parametrize(
    "change", [{"n_layers": 3}, {"backbone": "openai-gpt"}, {"context_style": "original"}]
)
def test_flags_that_contradict_the_file_are_named(tiny_model, change):
    (name,) = change
    flag = "--" + name.replace("_", "-")
    with pytest.raises(P2botError, match=f"{flag} .* contradicts .*built with {flag}"):
        create_agent_from_model_file(tiny_model, change)


OTHER = P2botTokenizer.train(["quite other words"], 300).to_json()


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "is not a tokenizer of P²Bot"),
        ('{"format": "other"}', "is not a tokenizer of P²Bot"),
        (
            json.dumps({"format": "p2bot-tokenizer-1", "tokenizer": OTHER}),
            "model was trained with another tokenizer than .*model.dict",
        ),
    ],
    ids=["empty", "other format", "other model's"],
)
def test_a_dictionary_that_cannot_be_used_is_named(copy, content, message):
    copy.with_name("model.dict").write_text(content)
    with pytest.raises(P2botError, match=message):
        create_agent_from_model_file(str(copy))


def test_fine_tuning_keeps_weights_and_tokenizer_and_drops_the_optimizer(
    convai2, tiny_model, tmp_path
):
    """ParlAI would learn a tokenizer from the new task and save it beside the old weights."""
    agent = tiny.agent(convai2, tmp_path / "model", init_model=tiny_model)
    assert not agent.optimizer.state and agent._number_training_updates == 0
    for name, weight in read_model_file(tiny_model)["model"].items():
        assert torch.equal(agent.model.state_dict()[name], weight)
    other = write_convai2(tmp_path / "other", seed=9)
    tiny.train(other, tmp_path / "tuned", init_model=tiny_model, max_train_steps=1)
    assert (tmp_path / "tuned.dict").read_text() == Path(f"{tiny_model}.dict").read_text()


def test_a_run_that_validated_without_generation_is_evaluated_with_it(convai2, tmp_path):
    tiny.train(convai2, tmp_path / "model", skip_generation=True)
    assert "f1" in tiny.evaluate(convai2, tmp_path / "model")
    assert "f1" not in tiny.evaluate(convai2, tmp_path / "model", skip_generation=True)


def test_a_clone_saves_what_the_run_has_reached(tiny_model, tmp_path):
    agent = create_agent_from_model_file(tiny_model)
    assert agent.run_state["workers"]
    agent.clone().save(str(tmp_path / "clone"))
    saved = torch.load(tmp_path / "clone", weights_only=True)
    assert len(saved["p2bot"]["run"]["workers"]) == len(agent.run_state["workers"])


@pytest.mark.parametrize("scheduler", ["invsqrt", "cosine", "linear"])
def test_what_every_scheduler_leaves_can_be_loaded(convai2, tmp_path, scheduler):
    given = {"lr_scheduler": scheduler, "warmup_updates": 2, "skip_generation": True}
    valid, _ = tiny.train(convai2, tmp_path / "model", **given)
    assert "ppl" in valid
