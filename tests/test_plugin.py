"""P²Bot's names: what ParlAI finds, what an opt holds, what the command does."""

import importlib
import json
import os
import subprocess
import sys

import pytest
from parlai.agents.repeat_query.repeat_query import RepeatQueryAgent
from parlai.core.loader import load_agent_module, load_world_module
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.worlds import create_task
from parlai.scripts.interactive import Interactive

from p2bot_parlai import zoo
from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.names import full_model_path, set_model_type
from p2bot_parlai.tasks.chat import persona_worlds

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
    assert full_model_path(name) == AGENTS[name]


@pytest.mark.parametrize(
    "name", ["transformer/generator", "p2bottle", "p2bot_x", "a.b:C", *AGENTS.values()]
)
def test_other_names_stay(name):
    assert full_model_path(name) == name


@pytest.mark.parametrize("grouped", [False, True])
def test_set_model_type_on_a_parser_and_on_a_group(grouped):
    parser = ParlaiParser(True, True)
    set_model_type(parser.add_argument_group("ours") if grouped else parser)
    opt = vars(parser.parse_known_args(["-m", "p2bot"])[0])
    assert opt["model"] == AGENTS["p2bot"]


def test_the_parsed_opt_holds_the_full_path():
    opt = ParlaiParser(True, True).parse_args(["-m", "p2bot/transmitter"])
    assert opt["model"] == opt["override"]["model"] == AGENTS["p2bot/transmitter"]


def test_presets(tmp_path, monkeypatch):
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


# ------------------------------------------------------------------------------ chats
CHATS = [
    *("convai2", "convai2:both", "convai2:SelfOriginal:no_cands"),
    *("parlai.tasks.convai2.agents", "interactive", "self_chat"),
]


@pytest.mark.parametrize("task", CHATS)
def test_our_agents_chat_in_our_worlds_and_others_in_theirs(task, bot, tmp_path):
    stranger = RepeatQueryAgent({"datatype": "valid"})
    given = {"task": task, "datapath": str(tmp_path), "datatype": "valid", "num_examples": 1}
    given |= {"persona": "i like tea.", "partner_persona": "i own a cat.", "verbose": False}
    given |= {"display_partner_persona": True, "seed_messages_from_task": False, "init_opt": None}
    given |= {"seed_messages_from_file": None}
    for kind, world in (
        ("interactive_task", persona_worlds.InteractiveWorld),
        ("selfchat_task", persona_worlds.SelfChatWorld),
    ):
        opt = Opt({**given, kind: True})
        assert type(create_task(opt, [stranger, bot.clone()])) is world
        if task in ("interactive", "self_chat"):  # ConvAI2's own worlds read its files
            assert type(create_task(opt, [stranger, stranger])).__module__.startswith("parlai.")


def test_options_of_our_chats_are_there_for_our_agents_alone(tmp_path, tiny_model):
    for given in ({"model": "p2bot"}, {"model_file": tiny_model}):
        opt = Interactive.setup_args().parse_kwargs(persona="i like tea.", **given)
        assert opt["persona"] == "i like tea."
    with pytest.raises(KeyError, match="persona"):
        Interactive.setup_args().parse_kwargs(persona="i like tea.", model="repeat_query")


def test_our_own_tasks_have_our_worlds_whatever_the_agent():
    for task in ("p2bot:sketch", "p2bot:sketch:revised"):
        found = load_world_module(task, interactive_task=True)
        assert found is persona_worlds.InteractiveWorld
        assert load_world_module(task, selfchat_task=True) is persona_worlds.SelfChatWorld


def test_zoo_names_say_where_the_files_belong(tmp_path):
    from parlai.core.build_data import modelzoo_path

    folder = tmp_path / "models" / "p2bot"
    folder.mkdir(parents=True)
    assert modelzoo_path(str(tmp_path), "zoo:p2bot/tiny/model") == str(folder / "tiny" / "model")


def test_importing_the_package_stays_light(tmp_path):
    code = (
        "import p2bot_parlai, sys; assert not {'torch', 'parlai'} & set(sys.modules);"
        "print(p2bot_parlai.__version__)"
    )
    assert python("-c", code, cwd=tmp_path).stdout == "0.1.0\n"


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
        "from p2bot_parlai import P2Bot"
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
