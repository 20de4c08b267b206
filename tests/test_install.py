"""The built wheel in an environment of its own, used from another working directory.

Only the heavy dependencies are borrowed from the environment that runs the tests, through a .pth
file; the wheel itself is really installed, and what is imported is checked to be the wheel's.
"""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import parlai
import pytest
import torch
from convai2_files import write_convai2

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MODEL = [
    *("--backbone", "scratch", "--n-layers", "1", "--n-heads", "1", "--embedding-size", "16"),
    *("--n-positions", "160", "--text-truncate", "96", "--label-truncate", "16"),
    *("--vocab-size", "300"),
]
SHORT = ["--inference", "greedy"]
FULL_NAME = "p2bot_parlai.agents.p2bot:P2botAgent"


class Environment:
    """A virtual environment with the wheel, and an empty folder to work in."""

    def __init__(self, folder: Path, wheel: Path):
        venv.create(folder / "venv", with_pip=True, symlinks=True)
        self.python = str(folder / "venv" / "bin" / "python")
        self.work = folder / "work"
        self.work.mkdir()
        where = "import sysconfig as s; print(s.get_path('purelib'))"
        self.purelib = purelib = Path(self.run("-c", where).strip())
        # A path in a .pth file adds modules, but runs none of the .pth files there: an editable
        # p2bot_parlai of the borrowed environment stays unknown.
        borrowed = {str(Path(package.__file__).parent.parent) for package in (parlai, torch)}
        (purelib / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
        pip = ("-m", "pip", "install", "--no-index", "--no-deps", "--ignore-installed")
        self.run(*pip, str(wheel))

    def run(self, *args: str, stdin: str = "", **env: str) -> str:
        # Nothing of the tests' own environment may lead to the source tree.
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        done = subprocess.run(
            [self.python, *args],
            cwd=getattr(self, "work", None),
            env={**clean, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"{args}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def parlai(self, *args: str, **kwargs) -> str:
        return self.run("-m", "parlai", *args, **kwargs)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy: setuptools leaves its build folder beside setup.py."""
    import shutil

    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "source", ignore=unwanted)
    # --no-build-isolation: with the setuptools of this environment, without the network
    build = ("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder))
    subprocess.run(
        [sys.executable, "-m", "pip", *build, str(folder / "source")],
        check=True,
        capture_output=True,
        text=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Environment:
    return Environment(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return write_convai2(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(installed, data) -> str:
    """A model that the installed command trained."""
    steps = ("-bs", "2", "--max-train-steps", "2", "-vme", "2", "-vstep", "2", "-dp", data)
    installed.parlai(
        *("train_model", "-m", "p2bot", "-t", "convai2", "-mf", "trained/model"),
        *(*steps, *MODEL, *SHORT),
    )
    return "trained/model"


def test_the_wheel_holds_our_packages_and_no_generic_ones(wheel):
    files = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in files if "dist-info" not in name} == {
        "p2bot_parlai",
        "parlai_internal",
    }
    for package in ("tasks", "zoo", "scripts", "plugin/names/agents/p2bot", "agents"):
        assert f"p2bot_parlai/{package}/__init__.py" in files
    for preset in (ROOT / "zoo").glob("*.opt"):
        assert f"p2bot_parlai/zoo/{preset.name}" in files
    for name in ("index.html", "rate.js", "rate.css"):
        assert f"p2bot_parlai/tools/human_eval/page/{name}" in files
    # namespace packages: an __init__.py would hide other plug-ins
    assert [name for name in files if name.startswith("parlai_internal")] == [
        "parlai_internal/scripts/p2bot_parlai_plugin.py"
    ]


def test_what_is_imported_is_the_wheels(installed):
    code = (
        "import p2bot_parlai, p2bot_parlai.tasks, p2bot_parlai.zoo\n"
        "import parlai_internal.scripts.p2bot_parlai_plugin as plugin\n"
        "for m in (p2bot_parlai, p2bot_parlai.tasks, p2bot_parlai.zoo, plugin): print(m.__file__)"
    )
    for file in installed.run("-c", code).split():
        assert Path(file).is_relative_to(installed.purelib)


def test_the_saved_opt_holds_the_full_name(installed, model):
    assert FULL_NAME in (installed.work / f"{model}.opt").read_text()


def test_display_data(installed, data):
    out = installed.parlai(
        "display_data", "-m", "p2bot", "-t", "convai2", "-dp", data, "-dt", "valid", "-ne", "2"
    )
    assert "your persona:" in out


def test_eval_model_and_display_model(installed, model, data):
    common = ("-t", "convai2", "-dp", data, "-dt", "valid", "-ne", "2", *SHORT)
    out = installed.parlai("eval_model", "-m", "p2bot", "-mf", model, *common)
    assert "token_acc" in out
    assert "model" in installed.parlai("display_model", "-mf", model, *common)
    # the model file alone, and the command by its other name
    assert "token_acc" in installed.run("-m", "p2bot_parlai", "eval_model", "-mf", model, *common)


def test_interactive(installed, model, data):
    installed.parlai("interactive", "-mf", model, *SHORT, stdin="hello\n[DONE]\n[EXIT]\n")
    out = installed.parlai(
        *("interactive", "-mf", model, "-t", "convai2", "-dt", "valid", "-dp", data, *SHORT),
        stdin="hello\n[EXIT]\n",
    )
    assert "P2bot" in out


def test_self_chat(installed, model, data):
    out = ("--outfile", "chats", "--selfchat-max-turns", "2", "--num-self-chats", "1")
    installed.parlai("self_chat", "-mf", model, *out, *SHORT)
    installed.parlai(
        "self_chat", "-mf", model, "-t", "convai2", "-dt", "valid", "-dp", data, *out, *SHORT
    )
    assert list(installed.work.glob("chats*"))


def test_the_python_api_loads_the_model_in_a_new_process(installed, model):
    code = (
        "from parlai.core.agents import create_agent_from_model_file as load\n"
        f"agent = load({model!r})\n"
        "agent.observe({'text': 'hello', 'episode_done': False})\n"
        "assert 'text' in agent.act(); print('class', type(agent).__module__)"
    )
    assert "class p2bot_parlai.agents.p2bot" in installed.run("-c", code)


def test_an_editable_install_is_the_same(installed, model, data, tmp_path):
    """`pip install -e` maps tasks/ and zoo/ by an import hook, not by a path."""
    import shutil

    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, tmp_path / "source", ignore=unwanted)
    pip = ("-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation")
    try:
        installed.run(*pip, "--force-reinstall", "-e", str(tmp_path / "source"))
        code = "import p2bot_parlai.tasks as t; print(t.__file__)"
        assert str(tmp_path / "source" / "tasks") in installed.run("-c", code)
        common = ("-t", "convai2", "-dp", data, "-dt", "valid", "-ne", "2", *SHORT)
        out = installed.parlai("eval_model", "-m", "p2bot", "-mf", model, *common)
        assert "token_acc" in out
        assert FULL_NAME in (installed.work / f"{model}.opt").read_text()
    finally:
        installed.run("-m", "pip", "uninstall", "-y", "p2bot-parlai")
