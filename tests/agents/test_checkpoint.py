"""Model files: offline, complete, never executed, never silently contradicted."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import tiny
import torch
import transformers
from convai2_files import write_convai2
from parlai.core.agents import create_agent_from_model_file

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.tokenizers import P2botTokenizer


def copied(tiny_model, folder):
    for suffix in ("", ".opt", ".dict"):
        shutil.copy(tiny_model + suffix, folder / f"model{suffix}")
    return folder / "model"


def weights(agent):
    return agent.model.state_dict()


def test_saved_and_loaded_is_the_same(tiny_model, tmp_path):
    agent = create_agent_from_model_file(tiny_model)
    agent.save(str(tmp_path / "again"))
    again = create_agent_from_model_file(str(tmp_path / "again"))
    assert weights(agent).keys() == weights(again).keys()
    assert all(torch.equal(weights(again)[k], v) for k, v in weights(agent).items())
    assert again.dict.p2bot.to_json() == agent.dict.p2bot.to_json()


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


def test_a_cut_file_is_named(tiny_model, tmp_path):
    path = copied(tiny_model, tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(P2botError, match="cannot load .*model: it is damaged or was not written"):
        create_agent_from_model_file(str(path))


def test_another_kind_of_model_file_is_named(tiny_model, tmp_path):
    path = copied(tiny_model, tmp_path)
    torch.save({"model": {}}, path)
    with pytest.raises(P2botError, match="was not saved by an agent of p2bot_parlai"):
        create_agent_from_model_file(str(path))


def test_a_file_of_the_future_is_named(tiny_model, tmp_path):
    path = copied(tiny_model, tmp_path)
    states = torch.load(path, weights_only=True)
    states["p2bot"]["format"] = 99
    torch.save(states, path)
    with pytest.raises(P2botError, match="newer p2bot_parlai; upgrade"):
        create_agent_from_model_file(str(path))


@pytest.mark.parametrize(
    "change", [{"n_layers": 3}, {"embedding_size": 32}, {"backbone": "openai-gpt"}]
)
def test_flags_that_contradict_the_file_are_named(tiny_model, change):
    (name,) = change
    flag = "--" + name.replace("_", "-")
    with pytest.raises(P2botError, match=f"{flag} .* contradicts .*built with {flag}"):
        create_agent_from_model_file(tiny_model, change)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other"}', "hello\t1\n"])
def test_a_damaged_dictionary_is_named(tiny_model, tmp_path, content):
    path = copied(tiny_model, tmp_path)
    (tmp_path / "model.dict").write_text(content)
    opt = json.loads((tmp_path / "model.opt").read_text())
    opt["dict_file"] = None
    (tmp_path / "model.opt").write_text(json.dumps(opt))
    with pytest.raises(P2botError, match="is not a tokenizer of P²Bot"):
        create_agent_from_model_file(str(path))


def test_weights_of_another_size_are_named(tiny_model, tmp_path):
    path = copied(tiny_model, tmp_path)
    states = torch.load(path, weights_only=True)
    states["p2bot"]["backbone"]["n_embd"] = 32
    torch.save(states, path)
    with pytest.raises(P2botError, match="do not fit its description"):
        create_agent_from_model_file(str(path))


def test_fine_tuning_starts_from_the_weights_and_a_fresh_optimizer(convai2, tiny_model, tmp_path):
    agent = tiny.agent(convai2, tmp_path / "model", init_model=tiny_model)
    first = create_agent_from_model_file(tiny_model)
    assert all(torch.equal(weights(first)[k], v) for k, v in weights(agent).items())
    assert not agent.optimizer.state and agent._number_training_updates == 0


def test_a_run_that_validated_without_generation_is_evaluated_with_it(convai2, tmp_path):
    tiny.train(convai2, tmp_path / "model", skip_generation=True)
    assert "f1" in tiny.evaluate(convai2, tmp_path / "model")
    assert "f1" not in tiny.evaluate(convai2, tmp_path / "model", skip_generation=True)


def test_fine_tuning_on_another_task_keeps_the_tokenizer(convai2, tmp_path):
    """ParlAI would learn a new one from the new task and save it beside the old weights."""
    (tmp_path / "other").mkdir()
    other = write_convai2(tmp_path / "other", seed=9)
    tiny.train(convai2, tmp_path / "first", vocab_size=330)
    tiny.train(
        other,
        tmp_path / "second",
        vocab_size=330,
        init_model=str(tmp_path / "first"),
        max_train_steps=1,
        learningrate=0.0,
    )
    assert (tmp_path / "first.dict").read_text() == (tmp_path / "second.dict").read_text()
    before, after = (tiny.evaluate(convai2, tmp_path / name) for name in ("first", "second"))
    assert after["ppl"] == pytest.approx(before["ppl"], rel=1e-5)


def test_the_tokenizer_of_another_model_is_refused(tiny_model, tmp_path):
    path = copied(tiny_model, tmp_path)
    other = {"format": "p2bot-tokenizer-1"}
    other["tokenizer"] = P2botTokenizer.train(["quite other words"], 300).to_json()
    (tmp_path / "model.dict").write_text(json.dumps(other))
    opt = json.loads((tmp_path / "model.opt").read_text())
    opt["dict_file"] = None
    (tmp_path / "model.opt").write_text(json.dumps(opt))
    with pytest.raises(P2botError, match="is not the tokenizer that .*model was trained with"):
        create_agent_from_model_file(str(path))


def test_a_clone_saves_what_the_run_has_reached(tiny_model, tmp_path):
    agent = create_agent_from_model_file(tiny_model)
    assert agent.run_state["workers"]
    agent.clone().save(str(tmp_path / "clone"))
    saved = torch.load(tmp_path / "clone", weights_only=True)
    assert len(saved["p2bot"]["run"]["workers"]) == len(agent.run_state["workers"])


@pytest.mark.parametrize("scheduler", ["invsqrt", "cosine", "linear", "fixed", "none"])
def test_what_every_scheduler_leaves_can_be_loaded(convai2, tmp_path, scheduler):
    given = {"lr_scheduler": scheduler, "warmup_updates": 2, "skip_generation": True}
    valid, _ = tiny.train(convai2, tmp_path / "model", **given)
    assert "ppl" in valid
