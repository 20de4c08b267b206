"""What several test files share: a tiny data folder and a tiny trained model."""

import os

# models this small are faster on one thread; processes that tests start inherit it
os.environ.setdefault("OMP_NUM_THREADS", "1")

import people
import pytest
import tiny
from convai2_files import write_convai2
from parlai.core.agents import create_agent_from_model_file

from p2bot_parlai import plugin


@pytest.fixture(scope="session", autouse=True)
def plugged_in():
    """What the `parlai` command does before anything else."""
    plugin.register()


@pytest.fixture(scope="session")
def convai2(tmp_path_factory) -> str:
    """
    A data folder (``--datapath``) in ConvAI2's form. A test that changes files writes its own.
    """
    return write_convai2(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, convai2) -> str:
    """The path of a model that was trained for a moment on `convai2`. Not to be changed."""
    path = str(tmp_path_factory.mktemp("tiny_model") / "model")
    tiny.train(convai2, path, batchsize=8, max_train_steps=8, learningrate=5e-3, seed=1)
    return path


@pytest.fixture(scope="session")
def original_style_model(tmp_path_factory, convai2) -> str:
    """The same with ``--context-style original``."""
    path = str(tmp_path_factory.mktemp("original_style") / "model")
    given = {"batchsize": 8, "max_train_steps": 8, "learningrate": 5e-3, "seed": 1}
    tiny.train(convai2, path, context_style="original", **given)
    return path


@pytest.fixture(scope="session")
def tiny_receiver(tmp_path_factory) -> str:
    """The path of a Receiver that was trained for a moment. Not to be changed."""
    folder = tmp_path_factory.mktemp("tiny_receiver")
    people.train(people.write_people(folder / "data"), folder / "model", seed=1)
    return str(folder / "model")


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
