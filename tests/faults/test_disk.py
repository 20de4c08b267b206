"""A full disk, a read-only one: one line that says so, and the last good checkpoint as it was."""

import contextlib
import resource
import subprocess
import sys

import checking
import disks
import pytest
import tiny
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.scripts.train_model import TrainModel

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support import files
from p2bot_parlai.parlai_support.training_loop import P2botTrainLoop
from p2bot_parlai.plugin import command

RUN = {
    "max_train_steps": 8,
    "validation_every_n_steps": 3,
    "save_after_valid": True,
    "skip_generation": True,
    "validation_max_exs": 4,
    "learningrate": 1e-2,
    "seed": 3,
}


@pytest.fixture(params=[disks.tmpfs_or_pretence, disks.Pretence])
def disk(request, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = request.param(folder)
    yield disk
    disk.remove()


@pytest.fixture(scope="module")
def unbroken(convai2, tmp_path_factory) -> dict:
    """The weights that a run with no trouble ends with."""
    folder = tmp_path_factory.mktemp("unbroken")
    train(convai2, folder)
    return weights(folder)


def train(convai2, folder, **changes) -> None:
    TrainModel.main(**tiny.options(convai2, folder / "model", **{**RUN, **changes}))


def weights(folder) -> dict:
    return torch.load(folder / "model", weights_only=True)["model"]


def contents(folder) -> dict:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@contextlib.contextmanager
def before_save(monkeypatch, number: int, trouble):
    """``trouble`` happens before the ``number``-th save of a model or checkpoint, from 1."""
    save, calls, seen = P2botTrainLoop.save_model, [0], {}

    def troubled(self, suffix=None, *args):
        calls[0] += 1
        if calls[0] == number:
            seen.update(trouble())
        save(self, suffix, *args)

    with monkeypatch.context() as patch:
        patch.setattr(P2botTrainLoop, "save_model", troubled)
        yield seen


@pytest.mark.parametrize("trouble", ["fill", "close"])
@pytest.mark.parametrize("number", [1, 4])  # the first model, and the second checkpoint
def test_in_the_middle_of_a_run(disk, convai2, unbroken, monkeypatch, trouble, number):
    folder = disk.folder

    def happens():
        found = contents(folder)
        getattr(disk, trouble)()
        return found

    with before_save(monkeypatch, number, happens) as before, pytest.raises(P2botError) as error:
        train(convai2, folder)
    line = command.message_for_users(error.value)
    reason = {"fill": "No space left on device", "close": "Read-only file system"}[trouble]
    assert line.startswith(f"p2bot: error: cannot write {folder}/model") and "\n" not in line
    assert reason in line and "another path" in line and "is untouched" in line
    disk.mend()
    after = contents(folder)
    # a new file of counts may have found its place; weights, options, dictionary did not
    whole = {name for name in before if not name.endswith(".trainstats")}
    assert {name: after[name] for name in whole} == {name: before[name] for name in whole}
    assert checking.temporary(folder) == [] and checking.broken(folder) == []
    if number > 1:
        create_agent_from_model_file(f"{folder}/model.checkpoint", {"loglevel": "error"})
    train(convai2, folder)
    for name, weight in unbroken.items():
        torch.testing.assert_close(weights(folder)[name], weight, atol=1e-6, rtol=0)


def test_a_limit_on_the_size_of_files(convai2, unbroken, monkeypatch, tmp_path):
    """What ``ulimit -f`` does; the weights are the largest file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
        return contents(tmp_path)

    try:
        with before_save(monkeypatch, 4, limit), pytest.raises(P2botError) as error:
            train(convai2, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"cannot write {tmp_path}/model.checkpoint: File too large" in str(error.value)
    assert checking.temporary(tmp_path) == [] and checking.broken(tmp_path) == []
    train(convai2, tmp_path)
    for name, weight in unbroken.items():
        torch.testing.assert_close(weights(tmp_path)[name], weight, atol=1e-6, rtol=0)


def test_the_last_report(disk, convai2, monkeypatch):
    """The model is saved by then; what cannot be written is what was measured."""
    write = files.append

    def closed(path, text):
        disk.close()
        write(path, text)

    monkeypatch.setattr(files, "append", closed)
    with pytest.raises(P2botError, match=f"cannot write {disk.folder}/model.valid: Read-only"):
        train(convai2, disk.folder)
    assert checking.broken(disk.folder) == []


# ------------------------------------------------------------------ before a run begins
def test_a_read_only_folder_is_said_before_anything_is_loaded(disk, convai2, monkeypatch):
    disk.close()
    monkeypatch.setattr("parlai.scripts.train_model.build_dict", None)
    with pytest.raises(P2botError, match=f"cannot write {disk.folder}/model: Read-only file"):
        train(convai2, disk.folder)


@pytest.mark.slow
def test_the_command_says_it_in_one_line_and_ends_with_status_1(convai2, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    given = ["-mf", f"{tmp_path}/file/model", "-t", "convai2", "-dp", convai2, "-m", "p2bot"]
    done = subprocess.run(
        [sys.executable, "-m", "p2bot_parlai", "train_model", *given, "--loglevel", "error"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    path = f"{tmp_path}/file/model"
    assert done.stderr == (
        f"p2bot: error: cannot write {path}: Not a directory; choose another path\n"
    )


def test_other_files_on_a_full_disk_are_one_line_too():
    full = OSError(28, "No space left on device", "somewhere/data.txt")
    assert command.message_for_users(command._without_traceback(full, [])) == (
        "p2bot: error: cannot write somewhere/data.txt: No space left on device"
    )
