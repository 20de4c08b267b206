"""Options of models small enough for a test, and the scripts called in this process."""

from pathlib import Path

import torch
import transformers
from parlai.core.agents import create_agent
from parlai.scripts.eval_model import EvalModel
from parlai.scripts.train_model import TrainModel, setup_args

from p2bot_parlai.method.tokenizers import P2botTokenizer

# one block, width 16: a training step takes milliseconds
MODEL = {
    "model": "p2bot",
    "backbone": "scratch",
    "vocab_size": 400,
    "n_layers": 1,
    "n_heads": 2,
    "embedding_size": 16,
    "n_positions": 256,
    "text_truncate": 128,
    "label_truncate": 24,
}
# what is not given with the name of a pretrained backbone
PRETRAINED = dict.fromkeys(("vocab_size", "n_layers", "n_heads", "embedding_size", "n_positions"))
QUIET = {"loglevel": "error", "verbose": False}


def options(datapath, model_file, **changes) -> dict:
    given = {
        **MODEL,
        **QUIET,
        "task": "convai2:self_original",
        "datapath": str(datapath),
        "model_file": str(model_file),
        "batchsize": 4,
        "max_train_steps": 4,
        "learningrate": 1e-3,
        "validation_max_exs": 8,
        "short_final_eval": True,
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def train(datapath, model_file, **changes):
    """(valid report, test report) of ``parlai train_model``."""
    return TrainModel.main(**options(datapath, model_file, **changes))


def evaluate(datapath, model_file=None, **changes) -> dict[str, float]:
    """The report of ``parlai eval_model`` of a saved model, or of ``model=...``."""
    given = {"task": "convai2:self_original", "batchsize": 4, **QUIET, **changes}
    if model_file:
        given["model_file"] = str(model_file)
    report = EvalModel.main(datapath=str(datapath), **given)
    return {name: float(value) for name, value in report.items()}


def agent(datapath, model_file, **changes):
    """An agent as train_model would make it; pass datatype='valid' for one that only acts."""
    return create_agent(setup_args().parse_kwargs(**options(datapath, model_file, **changes)))


def save_backbone(folder, seed: int = 0) -> str:
    """A folder in Hugging Face form: a tiny Llama with random weights and its tokenizer."""
    backend = P2botTokenizer.train(["i own a cat and two dogs", "i eat rice"], 350).backend
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=backend.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=0,
        tie_word_embeddings=True,
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    backend.save(str(Path(folder) / "tokenizer.json"))
    return str(folder)
