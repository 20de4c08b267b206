"""The wheel, installed in its own environment and used from another working directory.

Dependencies are borrowed from the environment that runs the tests, through a .pth file.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import parlai
import pytest
import torch

ROOT = Path(__file__).parent.parent
MODEL = [
    *("--backbone", "scratch", "--n-layers", "1", "--n-heads", "1", "--embedding-size", "16"),
    *("--n-positions", "160", "--text-truncate", "96", "--label-truncate", "16"),
    *("--vocab-size", "300"),
]
SHORT = ["--inference", "greedy"]


class Environment:
    """A virtual environment with the wheel, and an empty folder to work in."""

    def __init__(self, folder: Path, wheel: Path):
        self.work = folder / "work"
        self.work.mkdir()
        venv.create(folder / "venv", with_pip=True, symlinks=True)
        self.python = str(folder / "venv" / "bin" / "python")
        where = "import sysconfig as s; print(s.get_path('purelib'))"
        self.purelib = purelib = Path(self.run("-c", where).strip())
        # A path in a .pth file adds modules, but runs none of the .pth files there: an editable
        # p2bot_parlai of the borrowed environment stays unknown.
        borrowed = {str(Path(package.__file__).parent.parent) for package in (parlai, torch)}
        (purelib / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
        pip = ("-m", "pip", "install", "--no-index", "--no-deps", "--ignore-installed")
        self.run(*pip, str(wheel))
        # the one that venv brings is too old for pyproject.toml's licence; ours is borrowed
        self.run("-m", "pip", "uninstall", "-y", "setuptools")

    def run(self, *args: str, stdin: str = "", **env: str) -> str:
        # Nothing of the tests' own environment may lead to the source tree.
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        done = subprocess.run(
            [self.python, *args],
            cwd=self.work,
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


def copy_of_the_source(folder: Path) -> str:
    """setuptools leaves its build folder beside setup.py."""
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    return str(shutil.copytree(ROOT, folder / "source", ignore=unwanted))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # --no-build-isolation: with the setuptools of this environment, without the network
    build = ("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder))
    subprocess.run(
        [sys.executable, "-m", "pip", *build, copy_of_the_source(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Environment:
    return Environment(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def model(installed, convai2) -> str:
    """A model that the installed command trained."""
    steps = ("-bs", "2", "--max-train-steps", "2", "-vme", "2", "-vstep", "2", "-dp", convai2)
    installed.parlai(
        *("train_model", "-m", "p2bot", "-t", "convai2", "-mf", "trained/model"),
        *(*steps, *MODEL, *SHORT),
    )
    return "trained/model"


def test_every_requirement_has_a_tested_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    pins = re.findall(r"^(\S+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    names = {re.match(r"[\w-]+", one)[0].lower() for one in wanted}
    assert names <= {pin.lower() for pin in pins}


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_ours_and_no_generic_package(wheel):
    files = {name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name}
    places = {
        **dict.fromkeys(("p2bot_parlai", "parlai_internal"), ROOT),
        **dict.fromkeys(("tasks", "zoo"), ROOT / "p2bot_parlai"),
    }
    assert files == {
        (places[name] / file.relative_to(ROOT)).relative_to(ROOT).as_posix()
        for name in places
        for file in (ROOT / name).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.mark.slow
def test_what_is_imported_is_the_wheels(installed):
    code = (
        "import p2bot_parlai, p2bot_parlai.tasks, p2bot_parlai.zoo\n"
        "import parlai_internal.scripts.p2bot_parlai_plugin as plugin\n"
        "for m in (p2bot_parlai, p2bot_parlai.tasks, p2bot_parlai.zoo, plugin): print(m.__file__)"
    )
    for file in installed.run("-c", code).split():
        assert Path(file).is_relative_to(installed.purelib)


@pytest.mark.slow
def test_the_commands_work_on_its_model(installed, model, convai2):
    valid = ("-t", "convai2", "-dp", convai2, "-dt", "valid", *SHORT)
    out = installed.parlai("eval_model", "-m", "p2bot", "-mf", model, *valid, "-ne", "2")
    assert "ppl_word" in out
    out = installed.parlai("interactive", "-mf", model, *SHORT, stdin="hello\n[DONE]\n[EXIT]\n")
    assert "P2bot" in out
    # the command by its other name
    short = ("--outfile", "chats", "--selfchat-max-turns", "2", "--num-self-chats", "1")
    installed.run("-m", "p2bot_parlai", "self_chat", "-mf", model, *valid, *short)
    assert list(installed.work.glob("chats*"))


@pytest.mark.slow
def test_the_model_on_packaged_weights_chats_without_network(installed):
    given = ("-t", "p2bot:chat", "-mf", "zoo:p2bot/smollm2/model", "-dp", "data")
    typed = "hello\n/why\n[EXIT]\n"
    out = installed.parlai("interactive", *given, stdin=typed, HF_HUB_OFFLINE="1")
    assert "P2bot" in out and "against its persona" in out
