"""
SmolLM2's GGUF file as a folder in Hugging Face form, made once and kept.

Reading the quantised file takes 17 seconds, reading the folder one. The weights are stored
in float32: the quantised values fit no 16-bit format exactly (docs/backbones.md), so only
then are the folder and the file the same model to the last bit.
"""

import logging
import os
import shutil
from pathlib import Path

from filelock import FileLock
from huggingface_hub.constants import HF_HOME

from p2bot_parlai.errors import P2botError

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "P2BOT_CACHE"


def cache_folder() -> Path:
    """``$P2BOT_CACHE``, else ``p2bot_parlai`` in Hugging Face's cache (``$HF_HOME``)."""
    return Path(os.environ.get(CACHE_VARIABLE) or f"{HF_HOME}/p2bot_parlai").expanduser()


def convert_once(gguf: Path, folder: Path, command: str) -> None:
    """
    Make ``folder`` from a GGUF file, unless it exists or another process makes it.

    :param command: installs what reading the file needs.
    :raises P2botError: if it cannot be written.
    """
    if folder.exists():
        return
    work = Path(f"{folder}.tmp")  # renamed when complete
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if folder.exists():
                return
            logger.info(f"converting {gguf.name} once, to {folder}: about 20 seconds")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            convert(gguf, work)
            for file in work.iterdir():  # safetensors writes for its owner alone; a cache is shared
                file.chmod(work.stat().st_mode & 0o666)
            work.rename(folder)
    except (OSError, ValueError, ImportError) as error:
        raise P2botError(
            f"cannot convert {gguf} to {folder}: {error}. It needs 600 MB in a writable folder "
            f"({CACHE_VARIABLE} names another) and its packages: {command}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def convert(gguf: Path, folder: Path) -> None:
    """Write config.json, model.safetensors and tokenizer.json of SmolLM2's GGUF file."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source).backend_tokenizer
    # The file says tokenizer.ggml.pre = smollm, which transformers ignores: GPT-2's splitting
    # into words, but digits one by one.
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, tokenizer.pre_tokenizer])
    tokenizer.save(str(folder / "tokenizer.json"))
    # a run's random numbers do not depend on whether it converts first
    with torch.random.fork_rng():
        read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        # transformers refuses to save a model that was read from GGUF, so the weights move
        config = read.config
        del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
