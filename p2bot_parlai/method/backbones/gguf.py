"""
SmolLM2's GGUF file as a folder in Hugging Face form, made once and kept.

Reading the quantised file takes 17 seconds, reading the folder one. The weights are stored
in float32: what 4 bits, a scale and a minimum stand for fits no 16-bit format exactly
(docs/backbones.md has what would be lost), and so the folder and the file are the same
model to the last bit.
"""

import functools
import json
import logging
import os
import shutil
import zlib
from pathlib import Path

from filelock import FileLock

from p2bot_parlai.errors import P2botError

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "P2BOT_CACHE"
MANIFEST = "p2bot_conversion.json"
FORMAT = "p2bot-conversion-1"  # another number where `convert` gives something else


def cache_folder() -> Path:
    """
    ``$P2BOT_CACHE``, or ``p2bot_parlai`` in ``$HF_HOME`` (whoever moved the hub's files to a
    larger disk wants these there too), or in the user's cache.
    """
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).expanduser()
    for variable in ("HF_HOME", "XDG_CACHE_HOME"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser() / "p2bot_parlai"
    return Path.home() / ".cache" / "p2bot_parlai"


def is_complete(folder: Path) -> bool:
    """Whether the folder holds what a conversion wrote, by size and checksum."""
    try:
        with open(folder / MANIFEST, encoding="utf-8") as file:
            manifest = json.load(file)
        if manifest["format"] != FORMAT:
            return False
        return all(
            _checksum(folder / name, *_signature(folder / name)) == [size, checksum]
            for name, (size, checksum) in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def convert_once(gguf: Path, folder: Path) -> None:
    """
    Make `folder` from a GGUF file, unless another process does so meanwhile.

    It appears under its name when it is complete; a damaged one is made anew.

    :raises P2botError: where it cannot be written, or where something else has its name.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if is_complete(folder):
                return
            if folder.exists() and not (folder / MANIFEST).exists():
                raise P2botError(
                    f"{folder} was not made by p2bot_parlai, which needs the name: delete it, or "
                    f"set {CACHE_VARIABLE} to another folder"
                )
            if folder.exists():
                logger.warning(f"{folder} is damaged or out of date, and is made anew")
            _make(gguf, folder)
    except (OSError, ValueError, ImportError) as error:
        raise P2botError(
            f"cannot convert {gguf} to {folder}: {error}. It needs 600 MB in a folder that can be "
            f"written; {CACHE_VARIABLE} names another"
        ) from error


def _make(gguf: Path, folder: Path) -> None:
    logger.info(f"converting {gguf.name} once, to {folder}: about 20 seconds")
    work = Path(f"{folder}.tmp")  # no other process has it: we hold the lock
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir()
        convert(gguf, work)
        written = sorted(work.iterdir())
        files = {f.name: _checksum(f, *_signature(f)) for f in written}
        with open(work / MANIFEST, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, "made_from": gguf.name, "files": files}, file, indent=1)
        for f in written:  # safetensors writes for its owner alone; a cache may be shared
            f.chmod((work / MANIFEST).stat().st_mode)
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def convert(gguf: Path, folder: Path) -> None:
    """Write config.json, model.safetensors and tokenizer.json of SmolLM2's GGUF file."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source).backend_tokenizer
    # The file says tokenizer.ggml.pre = smollm, which transformers does not read: GPT-2's
    # splitting into words, but digits one by one.
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, tokenizer.pre_tokenizer])
    tokenizer.save(str(folder / "tokenizer.json"))
    # the random numbers of a run are to be the same whether or not it converts first
    with torch.random.fork_rng():
        read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        # transformers refuses to save a model that was read from GGUF: its weights move
        config = read.config
        del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)


def _signature(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _checksum(path: Path, size: int, changed: int) -> list[int]:
    """[size, CRC-32] of a file; remembered as long as the file does not change."""
    checksum = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            checksum = zlib.crc32(part, checksum)
    return [size, checksum]
