"""Nothing that comes with a model runs: see SECURITY.md."""

import io
import json
import pickle
import shutil
import site
import subprocess
import sys
from pathlib import Path

import attacks
import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.script import superscript_main

from p2bot_parlai import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import backbones
from p2bot_parlai.method.backbones import attention, hub
from p2bot_parlai.method.model_files import load_perceiver, read_model_file
from p2bot_parlai.plugin import command


@pytest.fixture
def target(tmp_path, tiny_model, tiny_receiver, convai2) -> attacks.Target:
    for name, source in (("model", tiny_model), ("receiver", tiny_receiver)):
        for ending in ("", ".opt", ".dict", ".trainstats"):
            shutil.copy(f"{source}{ending}", tmp_path / f"{name}{ending}")
    return attacks.Target(tmp_path, tmp_path / "model", tmp_path / "receiver", convai2)


def test_the_payload_runs_where_it_is_unpickled(target):
    """Or the canary would prove nothing."""
    pickle.loads(pickle.dumps(target.payload())).close()
    assert target.canary.exists()


@pytest.mark.parametrize("attack", attacks.CORPUS, ids=lambda attack: attack.__name__)
def test_it_is_refused_and_nothing_runs(attack, target, monkeypatch):
    arguments, path = attack(target)
    monkeypatch.syspath_prepend(str(target.folder))  # whatever is there could be imported
    with pytest.raises(P2botError) as refusal:
        superscript_main(args=arguments)
    message = command.message_for_users(refusal.value)  # status 1 and one line: test_command
    assert str(path) in message and "\n" not in message
    assert not target.canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize("attack", [attacks.model_file, attacks.opt_that_names_a_shell])
def test_the_command_ends_with_one_line_and_status_1(attack, target):
    arguments, path = attack(target)
    done = subprocess.run(
        [sys.executable, "-m", "p2bot_parlai", *arguments], capture_output=True, text=True
    )
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and line.startswith("p2bot: error: ") and str(path) in line
    assert not target.canary.exists()


# ------------------------------------------------------------------ the Python interface
def test_python_loads_no_agent_but_ours(target):
    """ParlAI's own agents unpickle: a program that asks for a bot never reaches them."""
    attacks.write_opt(target, {"model": "transformer/generator"})
    torch.save({"model": target.payload()}, target.model)
    with pytest.raises(P2botError, match="is not a Transmitter"):
        P2Bot.load(target.model)
    assert not target.canary.exists()


# -------------------------------------------------------------------------- what still loads
@pytest.fixture
def foreign(tmp_path, target, monkeypatch) -> Path:
    """The folder of a package with an agent, which Python finds, and which target.model names."""
    folder = tmp_path / "foreign"
    (folder / "foreign_bots").mkdir(parents=True)
    (folder / "foreign_bots/__init__.py").write_text(f"open({str(target.canary)!r}, 'w')\n")
    (folder / "foreign_bots/agents.py").write_text(
        "from parlai.agents.repeat_query.repeat_query import RepeatQueryAgent\n"
        "class ParrotAgent(RepeatQueryAgent): pass\n"
    )
    attacks.write_opt(target, {"model": "foreign_bots.agents:ParrotAgent"})
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("foreign_bots", "foreign_bots.agents"):
        sys.modules.pop(name, None)


def loaded(target, **named) -> str:
    return type(create_agent_from_model_file(str(target.model), named)).__name__


def test_an_agent_of_the_working_folder_loads_when_it_is_named(foreign, target, monkeypatch):
    monkeypatch.chdir(foreign)
    with pytest.raises(P2botError, match="add -m foreign_bots.agents:ParrotAgent"):
        loaded(target)
    assert not target.canary.exists()
    assert loaded(target, model="foreign_bots.agents:ParrotAgent") == "ParrotAgent"
    assert loaded(target) == "ParrotAgent"  # imported by now, by the user's will


def test_an_agent_of_an_installed_distribution_loads(foreign, target, monkeypatch):
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(foreign)])
    assert loaded(target) == "ParrotAgent"


def test_an_agent_of_an_editable_installation_loads(foreign, target, monkeypatch):
    about = foreign.parent / "site" / "foreign_bots-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Name: foreign-bots\nVersion: 1\n")
    origin = {"url": foreign.as_uri(), "dir_info": {"editable": True}}
    (about / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(about.parent)])
    assert loaded(target) == "ParrotAgent"


def test_a_package_of_the_working_folder_cannot_lead_to_an_installed_module(
    foreign, target, monkeypatch
):
    """A link below it may point to an installed file: the package itself is what would run."""
    module = foreign / "foreign_bots/agents.py"
    installed = foreign.parent / "installed"
    installed.mkdir()
    module.rename(installed / "agents.py")
    module.symlink_to(installed / "agents.py")
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(installed)])
    with pytest.raises(P2botError, match="no installed package"):
        loaded(target)
    assert not target.canary.exists()


@pytest.mark.parametrize("content", ["", "{", "1", "[" * 100_000, '{"model": 3}', '{"model": ":"}'])
def test_damaged_options_are_named(target, content):
    Path(f"{target.model}.opt").write_text(content)
    with pytest.raises(P2botError, match="model.opt"):
        create_agent_from_model_file(str(target.model))


@pytest.mark.parametrize(
    "name, value",
    [
        ("n_layers", "two"),
        ("beam_size", None),
        ("dropout", "a"),
        ("datatype", 5),
        ("history_size", 1.5),
    ],
)
def test_an_option_of_a_wrong_type_is_named(target, name, value):
    saved = json.loads(Path(f"{target.model}.opt").read_text())
    attacks.write_opt(target, {**saved, name: value})
    with pytest.raises(P2botError, match=f"model.opt: {name} is .*, not .*or give --"):
        create_agent_from_model_file(str(target.model))


def test_options_of_other_agents_are_their_business(target):
    attacks.write_opt(target, {"model": "repeat_query", "batchsize": "two"})
    assert loaded(target) == "RepeatQueryAgent"


def test_a_model_file_in_the_form_of_old_torch_loads(target):
    states = torch.load(target.model, weights_only=True)
    torch.save(states, target.model, _use_new_zipfile_serialization=False)
    assert read_model_file(str(target.model))["p2bot"]["format"] == 1
    receiver = torch.load(target.receiver, weights_only=True)
    torch.save(receiver, target.receiver, _use_new_zipfile_serialization=False)
    assert load_perceiver(str(target.receiver)).tau > 0


def test_vacuum_shrinks_a_model_of_ours(target):
    before = read_model_file(str(target.model))
    superscript_main(args=["vacuum", "-mf", str(target.model)])
    after = read_model_file(str(target.model))
    assert "optimizer" in before and "optimizer" not in after
    assert after["p2bot"].keys() == before["p2bot"].keys()


# ----------------------------------------------------------------- descriptions of networks
def test_a_saved_configuration_names_no_code(target):
    asked = {"_attn_implementation": "somebody/kernel", "auto_map": {"AutoModel": "code.Code"}}
    config = {"model_type": "gpt2", "n_embd": 8, "text_config": {"a": [asked]}, **asked}
    assert hub.without_code(config) == {
        "model_type": "gpt2",
        "n_embd": 8,
        "text_config": {"a": [{}]},
    }
    sizes = {"vocab_size": 40, "n_layer": 1, "n_head": 1}
    built = backbones.from_json({"kind": "hub", "config": {**config, **sizes, "text_config": None}})
    assert built.lm.config._attn_implementation == attention.NAME
    assert not hasattr(built.lm.config, "auto_map")


def test_an_unknown_family_in_a_model_file_is_refused(target, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\n"))  # nobody is asked whether to run it
    code = {"AutoConfig": "somebody/x--code.Code", "AutoModelForCausalLM": "somebody/x--code.Code"}
    states = torch.load(target.model, weights_only=True)
    config = {"model_type": "foreign", "auto_map": code}
    states["p2bot"]["backbone"] = {"kind": "hub", "config": config}
    torch.save(states, target.model)
    with pytest.raises(P2botError, match="cannot build the saved model"):
        create_agent_from_model_file(str(target.model), {"loglevel": "error"})


# ------------------------------------------------------------------------------- no calls
@pytest.mark.slow
def test_nothing_calls_out(tmp_path, monkeypatch):
    """Loading what ships, and a chat with it, without a socket."""
    called = []

    def refuse(name):
        def call(*args, **kwargs):
            called.append((name, args))
            raise OSError("no network in this test")

        return call

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(f"socket.socket.{name}", refuse(name))
    monkeypatch.setattr("socket.getaddrinfo", refuse("getaddrinfo"))
    bot = P2Bot.load("zoo:p2bot/sketch/model", datapath=tmp_path, persona=["i like tea ."])
    assert bot.reply("hello , what do you drink ?")
    assert bot.perceive("tea is the best .", ["i like tea .", "i have a dog ."])
    tiny.evaluate(tmp_path, "zoo:p2bot/sketch/model", task="p2bot:sketch", num_examples=2)
    assert called == []
