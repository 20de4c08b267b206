"""ConvAI2 folders in which every person is somebody else, and options of a tiny Receiver."""

from pathlib import Path

import tiny
import torch
import transformers
from parlai.core.agents import create_agent
from parlai.scripts.train_model import TrainModel, setup_args

from p2bot_parlai.method.tokenizers import SentenceTokenizer

THINGS = (
    "apples", "boats", "candles", "drums", "eagles", "flutes", "grapes", "horses",
    "insects", "jewels", "kites", "lemons", "marbles", "needles", "olives", "pianos",
)  # fmt: skip
ORIGINAL = ("i collect {0}.", "i'm afraid of {0}.", "my uncle sells {0}.", "i dream of {0}.")
REVISED = ("my shelf is full of {0}.", "{0} scare me.", "{0} feed my uncle.", "{0} at night.")
SAID = ("look at these {0} !", "please no {0} .", "uncle has {0} .", "i slept , {0} came .")

TASK = "p2bot:persona_perception"
RECEIVER = {
    **tiny.QUIET,
    "model": "p2bot/receiver",
    "task": TASK,
    "encoder": "scratch",
    "vocab_size": 400,
    "n_layers": 1,
    "n_heads": 2,
    "embedding_size": 16,
    "text_truncate": 32,
    "batchsize": 4,
    "distractors": 5,
    "hard_candidates": 8,
}


def person(number: int) -> list[str]:
    """Four things that no other of 16 people has in this place."""
    return [THINGS[(number + 3 * place) % len(THINGS)] for place in range(4)]


def dialogue(number: int, sentences=ORIGINAL, turns: int = 4, first: int = 0) -> list[str]:
    """The lines of one episode; `first` is the first of the persona's sentences shown."""
    things = person(number)
    filled = [text.format(thing) for text, thing in zip(sentences, things, strict=True)]
    persona = [f"your persona: {sentence}" for sentence in filled[first:]]
    said = [f"tell me more .\t{SAID[i % 4].format(things[i % 4])}" for i in range(turns)]
    return [f"{i} {line}" for i, line in enumerate(persona + said, start=1)]


def write_people(folder, people: int = 12, sentences=(ORIGINAL, REVISED)) -> str:
    """
    <folder>/ConvAI2 with self_original and self_revised, train and valid: each person in two
    dialogues, the second with fewer sentences; dialogues of several lengths.
    """
    home = Path(folder) / "ConvAI2"
    home.mkdir(parents=True)
    (home / ".built").write_text("2020-01-01 00:00:00.000000\nv5.0", encoding="utf-8")
    for fold in ("train", "valid"):
        for name, texts in zip(("original", "revised"), sentences, strict=True):
            lines = [
                line
                for number in range(people)
                for again in (0, 1)
                for line in dialogue(number, texts, turns=1 + number % 4, first=again)
            ]
            path = home / f"{fold}_self_{name}.txt"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder)


def options(datapath, model_file, **changes) -> dict:
    given = {
        **RECEIVER,
        "datapath": str(datapath),
        "model_file": str(model_file),
        "max_train_steps": 6,
        "learningrate": 1e-3,
        "short_final_eval": True,
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def train(datapath, model_file, **changes):
    return TrainModel.main(**options(datapath, model_file, **changes))


def agent(datapath, model_file, **changes):
    return create_agent(setup_args().parse_kwargs(**options(datapath, model_file, **changes)))


def evaluate(datapath, model_file=None, **changes) -> dict[str, float]:
    given = {name: RECEIVER[name] for name in ("task", "distractors", "hard_candidates")}
    return tiny.evaluate(datapath, model_file, **{**given, **changes})


def save_encoder(folder, seed: int = 0, dropout: float = 0.1) -> str:
    """A folder in Hugging Face form: a tiny BERT with random weights and its tokenizer."""
    backend = SentenceTokenizer.train(
        ["look at these boats !", "my uncle sells drums."], 320
    ).backend
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=backend.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    backend.save(str(Path(folder) / "tokenizer.json"))
    return str(folder)
