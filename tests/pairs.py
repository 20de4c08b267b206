"""Labelled pairs, and options of a tiny classifier of them."""

from pathlib import Path

import tiny
from parlai.core.agents import create_agent
from parlai.scripts.train_model import TrainModel, setup_args

THINGS = ("tea", "milk", "soup", "rice", "corn", "cake")
NLI = {
    **tiny.QUIET,
    "model": "p2bot/persona_nli",
    "task": "p2bot:persona_nli",
    "encoder": "scratch",
    "vocab_size": 300,
    "n_layers": 1,
    "n_heads": 2,
    "embedding_size": 32,
    "dropout": 0.0,
    "batchsize": 8,
    "short_final_eval": True,
    "validation_max_exs": 16,
}


def labelled() -> list[tuple[str, str, str]]:
    """What one likes is entailed, what one hates is contradicted, other things are neutral."""
    found = []
    for i, thing in enumerate(THINGS):
        other = THINGS[(i + 1) % len(THINGS)]
        found += [
            (f"i like {thing} .", f"i enjoy {thing}.", "positive"),
            (f"i hate {thing} .", f"i enjoy {thing}.", "negative"),
            (f"i like {other} .", f"i enjoy {thing}.", "neutral"),
        ]
    return found


def write_pairs(folder) -> str:
    """<folder>/dnli with train and valid, which are the same."""
    home = Path(folder) / "dnli"
    home.mkdir(parents=True)
    text = "\n".join("</s>".join(pair) for pair in labelled())
    for fold in ("train", "valid"):
        (home / f"nli-{fold}.txt").write_text(text + "\n", encoding="utf-8")
    return str(folder)


def train(datapath, model_file, **changes):
    given = {**NLI, "datapath": str(datapath), "model_file": str(model_file), **changes}
    return TrainModel.main(**{name: value for name, value in given.items() if value is not None})


def agent(datapath, model_file, **changes):
    given = {**NLI, "datapath": str(datapath), "model_file": str(model_file), **changes}
    return create_agent(setup_args().parse_kwargs(**given))


def evaluate(datapath, model_file, **changes) -> dict[str, float]:
    return tiny.evaluate(datapath, model_file, **{"task": NLI["task"], "batchsize": 8, **changes})
