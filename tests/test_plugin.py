"""P²Bot's names: what ParlAI finds, what an opt holds, what the command does."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from parlai.core.loader import SCRIPT_REGISTRY, load_agent_module, load_task_module
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from p2bot_parlai import plugin, zoo
from p2bot_parlai.errors import P2botError

AGENTS = {
    "p2bot": "p2bot_parlai.agents.p2bot:P2botAgent",
    "p2bot/transmitter": "p2bot_parlai.agents.transmitter:TransmitterAgent",
}


def python(*args, cwd, **env):
    return subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", AGENTS)
def test_a_short_name_is_the_class_at_its_full_path(name):
    module, _, cls = AGENTS[name].partition(":")
    assert load_agent_module(name) is getattr(importlib.import_module(module), cls)
    assert load_agent_module(name).__module__ == module
    assert plugin.full_model_path(name) == AGENTS[name]


def test_every_re_exported_agent_has_a_full_path():
    for file in (plugin.NAMES / "agents" / "p2bot").glob("[!_]*.py"):
        name = "p2bot" if file.stem == "p2bot" else f"p2bot/{file.stem}"
        assert load_agent_module(name) is load_agent_module(plugin.full_model_path(name))


@pytest.mark.parametrize(
    "name", ["transformer/generator", "p2bottle", "p2bot_x", "a.b:C", *AGENTS.values()]
)
def test_other_names_stay(name):
    assert plugin.full_model_path(name) == name


@pytest.mark.parametrize("grouped", [False, True])
def test_set_model_type_on_a_parser_and_on_a_group(grouped):
    parser = ParlaiParser(True, True)
    plugin.set_model_type(parser.add_argument_group("ours") if grouped else parser)
    opt = vars(parser.parse_known_args(["-m", "p2bot"])[0])
    assert opt["model"] == AGENTS["p2bot"]


def test_set_model_type_without_a_model_argument():
    plugin.set_model_type(ParlaiParser(True, False))


def test_the_parsed_opt_holds_the_full_path():
    opt = ParlaiParser(True, True).parse_args(["-m", "p2bot/transmitter"])
    assert opt["model"] == opt["override"]["model"] == AGENTS["p2bot/transmitter"]


def test_tasks_have_their_modules():
    assert load_task_module("p2bot").__name__ == "parlai.tasks.p2bot.agents"
    assert importlib.import_module("parlai.tasks.p2bot.worlds")


def test_registering_twice_changes_nothing():
    import parlai.agents

    plugin.register()
    path, commands, load_init = list(parlai.agents.__path__), dict(SCRIPT_REGISTRY), Opt.load_init
    plugin.register()
    assert list(parlai.agents.__path__) == path
    assert dict(SCRIPT_REGISTRY) == commands
    assert Opt.load_init == load_init


def test_presets(tmp_path, monkeypatch):
    plugin.register()
    (tmp_path / "tiny.opt").write_text(json.dumps({"batchsize": 3}))
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "__init__.py"))
    assert Opt.load_init("p2bot/tiny")["batchsize"] == 3
    with pytest.raises(P2botError, match="-o p2bot/huge: .*presets: p2bot/tiny$"):
        Opt.load_init("p2bot/huge")
    with pytest.raises(FileNotFoundError, match="other/huge"):
        Opt.load_init("other/huge")


def test_a_model_in_an_opt_file_becomes_its_full_path(tmp_path):
    """So that a saved .opt loads without the plug-in, whatever the file of -o called it."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(json.dumps({"model": "p2bot", "batchsize": 3}))
    files = f"{tmp_path}/one,{tmp_path}/two"
    assert Opt.load_init(files) == {"model": AGENTS["p2bot"], "batchsize": 3}


def test_zoo_names_say_where_the_files_belong(tmp_path):
    from parlai.core.build_data import modelzoo_path

    folder = tmp_path / "models" / "p2bot"
    with pytest.raises(FileNotFoundError, match="models/p2bot"):
        modelzoo_path(str(tmp_path), "zoo:p2bot/tiny/model")
    folder.mkdir(parents=True)
    assert modelzoo_path(str(tmp_path), "zoo:p2bot/tiny/model") == str(folder / "tiny" / "model")


def test_importing_the_package_imports_no_torch(tmp_path):
    code = "import p2bot_parlai, sys; print('torch' in sys.modules, p2bot_parlai.__version__)"
    assert python("-c", code, cwd=tmp_path).stdout.split() == ["False", "0.1.0"]


@pytest.mark.slow
def test_a_command_without_a_model_waits_for_no_transformers(tmp_path):
    """It was a third of what ``parlai display_data --help`` took (docs/log.md)."""
    code = (
        "import sys; from parlai.core.script import setup_script_registry, SCRIPT_REGISTRY; "
        "setup_script_registry(); [script.klass.setup_args() for name, script in "
        "SCRIPT_REGISTRY.items() if script.klass.__module__.startswith('p2bot_parlai.')]; "
        "print('export_hf' in SCRIPT_REGISTRY, 'transformers' in sys.modules)"
    )
    ended = python("-c", code, cwd=tmp_path)
    assert ended.stdout.split()[-2:] == ["True", "False"], ended.stderr


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("parlai", "pip install --no-deps parlai==1.7.2"),
        ("pkg_resources", 'pip install "setuptools<80.9"'),
    ],
)
def test_what_is_missing_is_named_with_its_command(missing, command, tmp_path):
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        f"u.find_spec = lambda name, *a: None if name == {missing!r} else find(name, *a)\n"
        "import p2bot_parlai"
    )
    run = python("-c", code, cwd=tmp_path)
    assert run.returncode == 1
    assert command in run.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_parlai_command_knows_our_names(tmp_path):
    run = python("-m", "parlai", "train_model", "-m", "p2bot", "--help", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "--nup-coef" in run.stdout + run.stderr


@pytest.mark.slow
def test_python_m_p2bot_parlai_where_our_plugin_is_hidden(tmp_path):
    for package in ("parlai_internal", "parlai_internal/scripts"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    arguments = ("train_model", "-m", "p2bot", "--help")
    here = {"cwd": tmp_path, "PYTHONPATH": str(tmp_path)}
    assert python("-m", "parlai", *arguments, **here).returncode != 0
    run = python("-m", "p2bot_parlai", *arguments, **here)
    assert run.returncode == 0, run.stderr
    assert "--nup-coef" in run.stdout + run.stderr


@pytest.mark.slow
def test_help_and_typos_are_the_stock_commands_business(tmp_path):
    """ParlAI then parses every command's options: a required one of ours would end it."""
    run = python("-m", "parlai", "--help", cwd=tmp_path)
    assert run.returncode == 0 and "train_model" in run.stdout
    for command in ("perception_table", "relevance_map", "blend_receiver"):
        assert command in run.stdout
    run = python("-m", "parlai", "trian_model", cwd=tmp_path)
    assert run.returncode == 2 and "invalid choice: 'trian_model'" in run.stderr


@pytest.mark.slow
def test_a_plugin_that_fails_is_reported_and_ends_nothing(tmp_path):
    """The stock command goes on without us; ParlAI itself would have said nothing."""
    (tmp_path / "sitecustomize.py").write_text(
        "import p2bot_parlai.plugin as plugin\n"
        "def broken(): raise ImportError('no such thing')\n"
        "plugin.register = broken\n"
    )
    run = python("-m", "parlai", "help", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert run.returncode == 0
    assert "p2bot_parlai could not be set up" in run.stderr
    assert "no such thing" in run.stderr


def test_no_file_of_ours_is_a_generic_top_level_package():
    assert Path(zoo.__file__).parent.name == "zoo"
    assert zoo.__name__ == "p2bot_parlai.zoo"
