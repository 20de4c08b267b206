"""Every sub-command of ours, and the stock ones with our agents: help, options, exit status."""

import os
import subprocess
import sys

import pytest
from parlai.core.params import ParlaiParser
from parlai.core.script import SCRIPT_REGISTRY, superscript_main
from parlai.scripts.eval_model import setup_args as eval_args

from p2bot_parlai import plugin, scripts

plugin.register()
OURS = {
    name: found.klass
    for name, found in SCRIPT_REGISTRY.items()
    if found.klass.__module__.startswith(scripts.__name__)
}
# commands that are called with nothing and have something to do
NEED_NOTHING = {"perception_table"}
MODEL_COMMANDS = ("train_model", "eval_model", "interactive", "self_chat")


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
            try:
                sys.excepthook(type(error), error, error.__traceback__)
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


@pytest.mark.parametrize("name", MODEL_COMMANDS)
@pytest.mark.parametrize(
    "model, option", [("p2bot", "--kl-coef"), ("p2bot/receiver", "--tau-start")]
)
def test_help_of_stock_commands_has_the_options_of_our_agents(run, name, model, option):
    status, out, err = run(name, "-m", model, "--help")
    assert (status, err) == (0, "")
    assert option in out


# ----------------------------------------------------------------------------- consistency
def test_one_name_means_one_thing():
    """Where something is written: --outfile or --out, in every command."""
    kinds: dict = {}
    for name, script in OURS.items():
        for action in own_options(script.setup_args()):
            flags = set(action.option_strings)
            assert not any("_" in flag for flag in flags), (name, flags)
            if flags & {"--out", "--outfile"}:
                assert {"--out", "--outfile"} <= flags, name
            kinds.setdefault(action.dest, set()).add(action.type or str)
    assert {dest: found for dest, found in kinds.items() if len(found) > 1} == {}


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
    out = ["--out", str(tmp_path / "out.png")]
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
        (["-m", "p2bot", "--backbone", "sketch", "--beam-size", "0"], "--beam-size 0"),
        (["-m", "p2bot/receiver", "--tau-start", "0"], "--tau-start 0.0"),
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
@pytest.mark.parametrize("model", [[], ["-m", "p2bot"], ["-m", "p2bot/receiver"]])
def test_stock_commands_with_a_model_that_is_not_there(run, name, model, tmp_path):
    path = str(tmp_path / "nothing")
    status, _, err = run(name, "-t", "p2bot:sketch", "-mf", path, *model)
    assert status == 1
    assert err.strip().split("\n")[-1] == f"p2bot: error: there is no model at {path}: check -mf"


# --------------------------------------------------------------------------- what is mistyped
def the_line(run, *arguments) -> tuple[int, str]:
    """Status and message of a command that ends with one line; ParlAI logs to stderr above it."""
    status, out, err = run(*arguments)
    assert "Traceback" not in err and "usage:" not in out
    return status, err.strip().split("\n")[-1].removeprefix("p2bot: error: ")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("-m p2bot -t p2bot:sketchh", "no task p2bot:sketchh: did you mean p2bot:sketch?"),
        ("-m p2bot -t convia2:none", "no task convia2:none: did you mean convai2:none?"),
        ("-m p2bot -t convai2:selfOrignal", "did you mean convai2:self_original?"),
        ("-m p2bot -t p2bot:selfplay:convia2:none", "did you mean convai2:none?"),
        ("-m p2bot -t p2bot", "there is no task p2bot; there are p2bot:chat, "),
        ("-m p2bott -t convai2", "there is no agent p2bott: did you mean p2bot?"),
        ("-m p2bot -t convai2 --mutators p2bot_drop", "did you mean p2bot_drop_persona?"),
        ("-m pbot -t convai2", "there is no agent pbot: did you mean p2bot?"),
        ("-m p2bot/ -t convai2", "there is no agent p2bot/: did you mean p2bot?"),
        ("-m p2bot/reciever -t convai2", "did you mean p2bot/receiver?"),
        ("-t p2bot:sketch -m transformer/generatr", "did you mean transformer/generator?"),
        ("-m p2bot -t p2bot:sketch --persna x", "--persna x: did you mean --persona?"),
        ("--model=p2bot -t p2bot:sketch --n_layer 1", "--n-layer 1: did you mean --n-layers?"),
        ("-m p2bot -t p2bot:sketch --batchsize x", "--batchsize/--bs: invalid int value: 'x'"),
    ],
)
def test_the_nearest_name_is_said(run, arguments, message):
    status, line = the_line(run, "train_model", *arguments.split())
    assert status == 2 and message in line


@pytest.mark.parametrize(
    "arguments",
    [
        *("-mf zoo:p2bot/typo", "-mf zoo:p2bot/skech/model", "-mf zoo:pbot/sketch/model"),
        "-mf zoo:p2bot/sketch/model --receiver zoo:p2bot/typo -t p2bot:chat",
        "-mf zoo:p2bot/sketch/model --receiver zoo:p2bott/typo -t p2bot:chat",
    ],
)
def test_the_models_of_the_zoo_are_said(run, arguments, tmp_path):
    status, line = the_line(run, "interactive", *arguments.split(), "-dp", str(tmp_path))
    assert status in (1, 2) and str(tmp_path) not in line
    assert "there is no model zoo:p" in line and "zoo:p2bot/sketch/receiver" in line


@pytest.mark.parametrize(
    "arguments, near",
    [
        (["trian_model", "-m", "p2bot"], "train_model"),
        (["selfplay_transcrpt"], "selfplay_transcript"),
    ],
)
def test_the_nearest_command_is_said(run, arguments, near):
    expected = f"there is no command {arguments[0]}: did you mean {near}?"
    assert the_line(run, *arguments) == (2, expected)


@pytest.mark.parametrize(
    "arguments, stock",
    [
        ("train_model -t convia2", "No module named 'parlai.tasks.convia2'"),
        ("train_model -m transformer/generatr", "No module named"),
        ("train_model -m repeat_query --persna x", "\nParse Error: unrecognized arguments"),
        ("interactive -m repeat_query -mf nothing", "RuntimeError: WARNING: Model file"),
        ("trian_model", "Parse Error: argument COMMAND: invalid choice: 'trian_model'"),
        ("eval_model -m repeat_query -t fromfile --fromfile-datapath none", "FileNotFoundError"),
    ],
)
def test_others_get_what_parlai_says(run, arguments, stock):
    _, _, err = run(*arguments.split())
    assert stock in err and "p2bot: error" not in err


def test_a_damaged_opt_of_others_is_not_labelled_ours(run, tmp_path):
    for path in (tmp_path / "model", tmp_path / "model.opt"):
        path.write_text('{"model": ')
    given = ["-t", "integration_tests", "-mf", str(tmp_path / "model")]
    _, _, err = run("eval_model", "-m", "repeat_query", *given)
    assert "Traceback" in err and "p2bot: error" not in err
    assert the_line(run, "eval_model", "-m", "p2bot", *given)[1].startswith(
        f"{tmp_path}/model.opt is damaged"
    )


def test_a_task_that_needs_a_missing_package_is_no_typo(run, tmp_path, monkeypatch):
    task = tmp_path / "needy_task"
    task.mkdir()
    (task / "agents.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    _, _, err = run("train_model", "-m", "p2bot", "-t", "needy_task.agents")
    assert err.strip().endswith("ModuleNotFoundError: No module named 'no_such_package'")


@pytest.mark.parametrize("name", ["interactive", "self_chat"])
def test_a_chat_without_a_model(run, name):
    assert the_line(run, name)[0] == 2 and "-mf FILE" in the_line(run, name)[1]
    assert the_line(run, name, "-mf", "none") == (1, "there is no model at none: check -mf")


@pytest.mark.parametrize("task", [[], ["-t", "p2bot:sketch"]])
def test_a_receiver_does_not_talk(run, tiny_receiver, task):
    status, line = the_line(run, "interactive", "-mf", tiny_receiver, *task)
    assert status == 2 and line.startswith(f"{tiny_receiver} does not talk: ")


@pytest.mark.parametrize("name", sorted(OURS))
def test_where_nothing_can_be_written_nothing_is_loaded(run, name, tiny_model, tmp_path):
    """Models, tasks and studies are named that would end the command with other errors."""
    (tmp_path / "file").write_text("")
    flags = OURS[name].setup_args()._option_string_actions
    flag = next((f for f in ("--outfile", "--outfile-folder") if f in flags), "--report-filename")
    if flag not in flags:
        return  # it writes nothing at its end
    given = {"--model-file": tiny_model, "--preset": "demo", "--systems": "a=none"}
    given |= dict.fromkeys(("--models", "--study", "--transmitter"), "none")
    words = [word for f, value in given.items() if f in flags for word in (f, value)]
    compared = [tiny_model, tiny_model, "-t", "convai2"]
    dumps = {"compare": compared, "import_dialogues": ["none"]}.get(name, [])
    place = tmp_path / "file" / "x.png"
    status, line = the_line(run, name, *dumps, *words, flag, str(place))
    assert status == 1 and str(place) in line and "Not a directory" in line


# ------------------------------------------------------------------------- files of dialogues
@pytest.mark.parametrize(
    "task, text",
    [
        ("fromfile:fbformat", "1 your persona: i sail.\n2 hi\thello\n"),
        ("fromfile", "text:hi\tlabels:hello\tepisode_done:True\n"),
    ],
)
def test_a_byte_order_mark(run, tiny_model, tmp_path, task, text):
    file = tmp_path / "own.txt"
    file.write_text(text, encoding="utf-8-sig")
    given = ("-mf", tiny_model, "-t", task, "--fromfile-datapath", str(file))
    status, line = the_line(run, "eval_model", *given)
    assert status == 1 and line.startswith(f"{file} begins with a byte order mark (BOM)")
    assert os.system(line.partition("run: ")[2]) == 0  # the remedy is one
    assert run("eval_model", *given)[0] == 0


@pytest.mark.parametrize(
    "task", [["convai2:self_original"], ["p2bot:sketch", "--sketch-dialogues", "90"]]
)
def test_self_chats_are_seeded_from_a_task(run, tiny_model, convai2, task, tmp_path):
    given = (
        "-mf",
        tiny_model,
        "--seed-messages-from-task",
        "true",
        "--outfile",
        str(tmp_path / "o"),
    )
    assert "with -t TASK" in the_line(run, "self_chat", *given)[1]
    more = ["--datapath", convai2, "--selfchat-max-turns", "2", "-dt", "valid"]
    assert run("self_chat", *given, "-t", *task, *more)[0] == 0


FILES = [
    ([], 2, "name the file of dialogues: --fromfile-datapath FILE"),
    (["--fromfile-datapath", "none"], 1, "--fromfile-datapath none: No such file or directory"),
    (["--fromfile-datapath", "."], 2, "--fromfile-datapath . is a folder: name a file in it"),
]


@pytest.mark.parametrize("task", ["fromfile", "fromfile:fbformat"])
@pytest.mark.parametrize("given, status, message", FILES)
def test_a_file_of_dialogues_that_is_not_there(run, tiny_model, task, given, status, message):
    found, line = the_line(run, "eval_model", "-mf", tiny_model, "-t", task, *given)
    assert found == status and line.startswith(message)


def test_dp_is_no_data_folder_with_files_of_dialogues(run, tiny_model, convai2):
    given = ["-t", "fromfile:fbformat", "--fromfile-datapath", "none", "-dp", convai2]
    status, line = the_line(run, "eval_model", "-mf", tiny_model, *given)
    assert status == 2 and "the data folder is --datapath: -dp stands for" in line


@pytest.mark.slow
@pytest.mark.parametrize("module", ["parlai", "p2bot_parlai"])
def test_in_a_process_of_its_own(module, tmp_path):
    """``parlai`` and ``python -m p2bot_parlai`` end alike: 2 for usage, 1 for failure."""
    for arguments, status in ((["export_hf"], 2), (["export_hf", "-mf", "none", "--out", "x"], 1)):
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        assert done.returncode == status, done.stderr
        assert done.stderr.startswith("p2bot: error: ") and done.stderr.count("\n") == 1
