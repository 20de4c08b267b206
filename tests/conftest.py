"""What several test files share: markers by folder, a tiny data folder, tiny trained models."""

import os
from importlib.util import find_spec
from pathlib import Path

# models this small are faster on one thread; processes that tests start inherit it
os.environ.setdefault("OMP_NUM_THREADS", "1")

import people
import pytest
import tiny
from convai2_files import write_convai2
from filelock import FileLock
from parlai.core.agents import create_agent_from_model_file

from p2bot_parlai import plugin
from p2bot_parlai.agents.p2bot import P2botAgent

HERE = Path(__file__).parent
# `make test` needs neither gradio nor selenium; `make check` installs both
BROWSER = [
    *("web", "fuzz/test_fuzz_web.py", "fuzz/test_fuzz_human_eval.py"),
    *("human_eval/test_rating_page.py", "human_eval/test_server.py"),
]
collect_ignore = [] if find_spec("gradio") and find_spec("selenium") else BROWSER

MOMENT = {"batchsize": 8, "max_train_steps": 8, "learningrate": 5e-3, "seed": 14}


def pytest_itemcollected(item):
    """Mark by folder. Tests that share a fixture of their file run in one process."""
    path = item.path.relative_to(HERE)
    if path.parts[0] == "fuzz":
        item.add_marker("fuzz")
    if any(path.is_relative_to(name) for name in BROWSER):
        item.add_marker("browser")
    fixtures = [one for found in item._fixtureinfo.name2fixturedefs.values() for one in found]
    if any(one.scope == "module" and one.baseid.endswith(".py") for one in fixtures):
        item.add_marker(pytest.mark.xdist_group(str(path)))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """
    `shared_folder(name, build)` is a folder that `build(folder)` filled once for all processes of
    the run. Not to be changed.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def folder_of(name, build) -> Path:
        folder, ready = root / name, root / f"{name}.ready"
        with FileLock(root / f"{name}.lock"):
            if not ready.exists():
                folder.mkdir()
                build(folder)
                ready.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session", autouse=True)
def plugged_in():
    """What the `parlai` command does before anything else."""
    plugin.register()


@pytest.fixture(scope="session")
def convai2(shared_folder) -> str:
    """
    A data folder (``--datapath``) in ConvAI2's form. A test that changes files writes its own.
    """
    return str(shared_folder("convai2", write_convai2))


@pytest.fixture
def heard(monkeypatch):
    """Every text that the bot observes."""
    texts = []
    observe = P2botAgent.observe
    monkeypatch.setattr(
        P2botAgent, "observe", lambda bot, act: texts.append(act.get("text")) or observe(bot, act)
    )
    return texts


@pytest.fixture(scope="session")
def tiny_model(shared_folder, convai2) -> str:
    """The path of a model that was trained for a moment on `convai2`. Not to be changed."""

    def build(folder):
        tiny.train(convai2, folder / "model", **MOMENT)

    return str(shared_folder("tiny_model", build) / "model")


@pytest.fixture(scope="session")
def original_style_model(shared_folder, convai2) -> str:
    """The same with ``--context-style original``."""

    def build(folder):
        tiny.train(convai2, folder / "model", context_style="original", **MOMENT)

    return str(shared_folder("original_style_model", build) / "model")


@pytest.fixture(scope="session")
def tiny_receiver(shared_folder) -> str:
    """The path of a Receiver that was trained for a moment. Not to be changed."""

    def build(folder):
        people.train(people.write_people(folder / "data"), folder / "model", seed=1)

    return str(shared_folder("tiny_receiver", build) / "model")


@pytest.fixture(scope="module")
def bot(tiny_model):
    """An agent of the tiny model; tests that change its options make one of their own."""
    return create_agent_from_model_file(tiny_model, {"loglevel": "error"})


@pytest.fixture
def playing(tiny_model, tiny_receiver):
    """Options of a short self-play run."""
    return {
        "task": "p2bot:selfplay",
        "evaltask": "convai2:self_original",
        "init_model": tiny_model,
        "receiver": tiny_receiver,
        "user_inference": "multinomial",
        "batchsize": 3,
        "max_train_steps": 2,
        "learningrate": 1e-3,
        "skip_generation": True,
        "seed": 5,
        "label_truncate": 8,
        # saved shapes come with --init-model
        **dict.fromkeys(("backbone", "n_layers", "n_heads", "embedding_size", "n_positions")),
        "vocab_size": None,
        "text_truncate": None,
    }
