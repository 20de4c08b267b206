"""
Train the tiny models in this folder, and write down what they say.

usage: python tests/golden/make.py FOLDER   trains models into FOLDER
       python tests/golden/make.py          writes expected.json for the models that are here

`test_golden.py` holds every later version to these files: what an earlier one saved loads, and
gives the same digits. They were trained with 6bc67ba; train them again only for a change that
is meant to break saved models, and say so in CHANGELOG.md.
"""

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import convai2_files  # noqa: E402
import pairs  # noqa: E402
import people  # noqa: E402
import tiny  # noqa: E402
import torch  # noqa: E402

import p2bot_parlai.__main__  # noqa: E402, F401  (the short names)
from p2bot_parlai import P2Bot, plugin  # noqa: E402

TALK, PEOPLE, PAIRS = HERE / "data/talk", HERE / "data/people", HERE / "data/pairs"
COMMON = {"seed": 1, "learningrate": 5e-3, "batchsize": 4, "max_train_steps": 30}
SMALL = {**COMMON, "vocab_size": 300, "n_positions": 200, "label_truncate": 16}
# sizes of the Transmitter that other agents do not have
NONE = dict.fromkeys(("backbone", "n_layers", "n_heads", "embedding_size", "n_positions"))
BASELINE = {**NONE, **COMMON, "vocab_size": 300, "text_truncate": None}
TRANSMITTERS = {
    "transmitter": {"model": "p2bot/transmitter"},
    "p2bot_original_style": {"context_style": "original"},
    "p2bot_sketch": {"backbone": "sketch", "n_layers": 2},
}
RECEIVERS = {"receiver": {}, "receiver_shared": {"share_encoders": True, "loss": "softmax"}}
CLASSIFIERS = {"nli_cross": {"pairing": "cross"}, "nli_bi": {"pairing": "bi"}}
RECURRENT = {"skip_generation": True}
BASELINES = {
    "seq2seq": {"hiddensize": 16, "embeddingsize": 16, "numlayers": 1, **RECURRENT},
    "profile_memory": {"hidden_size": 16, "embedding_size": 16, **RECURRENT},
    "kv_profile_memory": {"embedding_size": 16, "kv_memories": 10},
}
MODELS = (*TRANSMITTERS, "p2bot_selfplay", *RECEIVERS, *CLASSIFIERS, *BASELINES)
# a run that was stopped, with its optimizer: trains on to the same weights
STOPPED = "stopped"
# what a report says of the machine, not of the model
OF_THE_MACHINE = ("exps", "ltps", "ctps", "tps", "ups", "gpu_mem", "clen", "llen")


def train_all(folder: Path) -> None:
    def at(name: str) -> str:
        return str(folder / name)

    for name, own in TRANSMITTERS.items():
        tiny.train(TALK, at(name), **{**SMALL, **own})
    tiny.train(TALK, at(STOPPED), **{**SMALL, "max_train_steps": 3, "save_every_n_secs": 0.001})
    for name, own in RECEIVERS.items():
        people.train(PEOPLE, at(name), **{**COMMON, "vocab_size": 300, **own})
    for name, own in CLASSIFIERS.items():
        pairs.train(PAIRS, at(name), **{**COMMON, "embedding_size": 16, **own})
    for name, own in BASELINES.items():
        tiny.train(TALK, at(name), **{**BASELINE, "model": f"p2bot/{name}", **own})
    tiny.train(
        TALK,
        at("p2bot_selfplay"),
        **{**SMALL, **NONE, "vocab_size": None, "text_truncate": None, "max_train_steps": 2},
        task="p2bot:selfplay",
        evaltask="convai2:self_original",
        init_model=at("transmitter"),
        receiver=at("receiver"),
        user_inference="multinomial",
        skip_generation=True,
    )
    for name in MODELS:
        _strip(folder / name)
    for file in folder.glob("*.opt"):
        _forget_the_machine(file)
    for extra in (*folder.glob("*.trainstats"), *folder.glob("*.valid"), *folder.glob("*.test")):
        if extra.name != f"{STOPPED}.checkpoint.trainstats":
            extra.unlink()


def _strip(path: Path) -> None:
    """All but the optimizer and the run."""
    states = torch.load(path, weights_only=True)
    states.pop("optimizer", None)
    states["p2bot"]["run"] = {}
    states["p2bot"].pop("selfplay", None)  # paths
    torch.save(states, path)


def _forget_the_machine(path: Path) -> None:
    from p2bot_parlai.zoo.packing import OF_THE_RUN

    opt = json.loads(path.read_text())
    opt = {name: value for name, value in opt.items() if name not in OF_THE_RUN}
    path.write_text(json.dumps(opt, indent=1, sort_keys=True) + "\n")


# --------------------------------------------------------------------- what they say
def said(folder: Path) -> dict:
    """Reports and replies of every model: name -> {metric or question: value}."""

    def at(name: str) -> str:
        return str(folder / name)

    found = {}
    for name in (*TRANSMITTERS, "p2bot_selfplay"):
        found[name] = tiny.evaluate(TALK, at(name), num_examples=12, label_truncate=16)
        bot = P2Bot.load(at(name), persona=["i own a goat.", "i live in Oslo."], seed=3)
        found[name]["reply"] = bot.reply("hello , where do you live ?")
        found[name]["nucleus"] = P2Bot.load(
            at(name), persona=["i eat rice every day."], seed=3, inference="nucleus", topp=0.9
        ).reply("what do you eat ?")
    found["selfplay"] = tiny.evaluate(
        TALK,
        at("p2bot_selfplay"),
        task="p2bot:selfplay",
        num_examples=4,
        receiver=at("receiver"),
        user_inference="multinomial",
        label_truncate=8,
    )
    for name in RECEIVERS:
        found[name] = people.evaluate(PEOPLE, at(name))
    for name in ("random_perception", "ir_perception"):
        found[name] = people.evaluate(PEOPLE, model=f"p2bot/{name}")
    for name in CLASSIFIERS:
        found[name] = pairs.evaluate(PAIRS, at(name))
    for name in BASELINES:
        found[name] = tiny.evaluate(TALK, at(name), num_examples=12)
    return {
        name: {k: v for k, v in report.items() if k not in OF_THE_MACHINE}
        for name, report in found.items()
    }


def trained_on(folder: Path) -> dict[str, float]:
    """Sums of the weights of the stopped run, six updates later. Writes into `folder`."""
    given = {**SMALL, "max_train_steps": 6, "save_every_n_secs": 1e9}
    tiny.train(TALK, folder / STOPPED, **given)
    states = torch.load(folder / STOPPED, weights_only=True)["model"]
    return {name: tensor.double().abs().sum().item() for name, tensor in states.items()}


def copy_to(folder: Path) -> Path:
    """The models somewhere else: ParlAI writes beside what it loads."""
    for file in (*HERE.glob("*.opt"), *HERE.glob("*.dict")):
        for part in (file, file.with_suffix("")):
            if part.exists():
                shutil.copy(part, folder / part.name)
    for file in HERE.glob(f"{STOPPED}.checkpoint*"):
        shutil.copy(file, folder / file.name)
    return folder


if __name__ == "__main__":
    plugin.register()
    if len(sys.argv) > 1:
        convai2_files.write_convai2(TALK)
        people.write_people(PEOPLE)
        pairs.write_pairs(PAIRS)
        train_all(Path(sys.argv[1]))
    else:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            copy = copy_to(Path(folder))
            found = {**said(copy), STOPPED: trained_on(copy)}
        text = json.dumps(found, indent=1, sort_keys=True)
        (HERE / "expected.json").write_text(text + "\n", encoding="utf-8")
