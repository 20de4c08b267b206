"""Every sub-command of ours, and the stock ones with our agents: help, options, exit status."""

import sys

import pytest
from parlai.core.params import ParlaiParser
from parlai.core.script import SCRIPT_REGISTRY, superscript_main
from parlai.scripts.eval_model import setup_args as eval_args

from p2bot_parlai import plugin, scripts
from p2bot_parlai.plugin import command

plugin.register()
OURS = {
    name: found.klass
    for name, found in SCRIPT_REGISTRY.items()
    if found.klass.__module__.startswith(scripts.__name__)
}
# commands that are called with nothing and have something to do
NEED_NOTHING = {"perception_table"}


@pytest.fixture
def run(capsys, monkeypatch):
    """What ``parlai <arguments>`` would print and exit with: (status, stdout, stderr)."""

    def parlai(*arguments):
        monkeypatch.setattr(sys, "argv", ["parlai", *arguments])
        status = 0
        try:
            superscript_main(list(arguments))
        except SystemExit as end:
            status = end.code or 0
        except Exception as error:
            status = 1
            if command.message_for_users(error) is None:
                raise
            try:
                command.excepthook(type(error), error, error.__traceback__)
            except SystemExit as end:
                status = end.code
        return status, *capsys.readouterr()

    return parlai


def own_options(parser: ParlaiParser) -> list:
    """The options of a command that ParlAI's do not have, nor eval_model, which ours build on."""
    stock = {a.dest for p in (ParlaiParser(True, True), eval_args()) for a in p._actions}
    return [a for a in parser._actions if a.dest not in stock and a.option_strings]


# ------------------------------------------------------------------------------------ help
@pytest.mark.parametrize("name", sorted(OURS))
def test_help_says_what_it_does_and_every_option(run, name):
    status, out, err = run(name, "--help")
    assert (status, err) == (0, "")
    parser = OURS[name].setup_args()
    assert len(parser.description.split()) >= 4
    shown = " ".join(out.split())
    assert " ".join(parser.description.split())[:60] in shown
    assert (OURS[name].__doc__ or "").strip()
    for action in own_options(parser):
        assert len((action.help or "").split()) >= 2, action.option_strings
        assert f"--{action.dest.replace('_', '-')}" in out


@pytest.mark.parametrize("model, option", [("p2bot", "--kl-coef"), ("p2bot/receiver", "--beta")])
def test_help_of_stock_commands_has_the_options_of_our_agents(run, model, option):
    status, out, err = run("train_model", "-m", model, "--help")
    assert (status, err) == (0, "")
    assert option in out


# ----------------------------------------------------------------------------- consistency


# ----------------------------------------------------------------------------- exit status
@pytest.mark.parametrize("name", sorted(OURS))
def test_an_option_that_there_is_not(run, name):
    status, _, err = run(name, "--no-such-option", "1")
    assert status == 2
    assert "--no-such-option" in err and "Traceback" not in err


@pytest.mark.parametrize("name", sorted(set(OURS) - NEED_NOTHING))
def test_called_with_nothing_it_says_what_it_needs(run, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(name)
    assert status == 2
    (line,) = err.strip().split("\n")
    assert line.startswith("p2bot: error: ") and "-" in line


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.browser if n == "p2bot_web" else ())
        for n, s in sorted(OURS.items())
        if n != "compare" and "--model-file" in s.setup_args()._option_string_actions
    ],
)
def test_a_model_that_is_not_there(run, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk").write_text("your persona: i ski .\ni like snow .\n")
    more = ["--dialogue", "talk"] if name == "relevance_map" else []
    out = ["--out", str(tmp_path / "out")]
    status, _, err = run(
        name, "-mf", str(tmp_path / "nothing"), *more, *(out if needs_out(name) else [])
    )
    assert status == 1
    last = err.strip().split("\n")[-1]
    assert last.startswith("p2bot: error: ") and str(tmp_path / "nothing") in last
    assert "Traceback" not in err


def needs_out(name) -> bool:
    return "--out" in OURS[name].setup_args()._option_string_actions


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["-m", "p2bot", "--alpha", "2"], "--alpha 2.0"),
        (["-m", "p2bot/receiver", "--margin", "-1"], "--margin -1.0"),
        (["-m", "p2bot", "--context-style", "other"], "--context-style"),
        (["-m", "p2bot", "--nup-coeff", "1"], "--nup-coeff"),
        (["-o", "p2bot/none"], "-o p2bot/none"),
        (["-m", "p2bot", "-t", "p2bot:selfplay"], "--receiver"),
    ],
)
def test_training_with_values_that_cannot_work(run, convai2, tmp_path, arguments, named):
    task = [] if "-t" in arguments else ["-t", "convai2"]
    path = str(tmp_path / "model")
    status, _, err = run("train_model", *task, "-dp", convai2, "-mf", path, *arguments)
    assert status == 2
    assert named in err and "Traceback" not in err


@pytest.mark.parametrize("name", ["eval_model", "interactive", "self_chat"])
@pytest.mark.parametrize("model", [[], ["-m", "p2bot"]])
def test_stock_commands_with_a_model_that_is_not_there(run, name, model, tmp_path):
    path = str(tmp_path / "nothing")
    status, _, err = run(name, "-t", "p2bot:sketch", "-mf", path, *model)
    assert status == 1
    assert err.strip().split("\n")[-1] == f"p2bot: error: there is no model at {path}: check -mf"
