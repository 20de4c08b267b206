"""
Small data folders in ConvAI2's form, with sentences of our own making.

The answers follow from the personas, so that even a tiny model has something to learn.
"""

import random
from pathlib import Path

VERSION = "v5.0"  # what parlai/tasks/convai2/build.py expects in .built
FOLDS = ("train", "valid")
CANDIDATES = 20

FOODS = ("soup", "rice", "bread", "pears", "beans", "honey", "plums", "toast")
PETS = ("a cat", "a dog", "an owl", "a goat", "a pony", "a duck", "two mice", "six hens")
JOBS = ("a baker", "a nurse", "a judge", "a tailor", "a pilot", "a farmer", "a clerk", "a painter")
TOWNS = ("Bern", "Oslo", "Lima", "Kyoto", "Cairo", "Perth", "Quito", "Turku")

ORIGINAL = ("i eat {food} every day.", "i own {pet}.", "i work as {job}.", "i live in {town}.")
REVISED = (
    "{food} is on my table daily.",
    "{pet} shares my house.",
    "my trade is that of {job}.",
    "{town} is where my home is.",
)
# what the partner asks, after a word about itself, and what the speaker answers
TURNS = (
    ("hello , i come from {town} . where do you live ?", "hi , my home is in {town} ."),
    ("i work as {job} . what do you do ?", "i earn my money as {job} ."),
    ("my lunch was {food} . what do you eat ?", "nothing is better than {food} ."),
    ("do you own a pet ? i own {pet} .", "yes , i take care of {pet} ."),
)


def write_convai2(folder, dialogues: int = 8, seed: int = 0) -> str:
    """
    Write <folder>/ConvAI2: train and valid, each with personas self_original, self_revised,
    both_original, both_revised and none_original, each with and without candidates.

    :param folder: the ParlAI data folder (``--datapath``); it is made where it is missing.
    :param dialogues: dialogues a fold, of four exchanges each.
    :return: the folder, as ``--datapath`` takes it.
    """
    home = Path(folder) / "ConvAI2"
    home.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    answers = _all_answers()
    for fold in FOLDS:
        for cands in (True, False):
            files = {kind: [] for kind in _kinds({}, {})}
            for own, partner in _speakers(random.Random(f"{seed} {fold}"), dialogues):
                exchanges = [_exchange(turn, own, partner, answers, rng) for turn in TURNS]
                lines = [exchange if cands else exchange[:2] for exchange in exchanges]
                for kind, persona in _kinds(own, partner).items():
                    files[kind] += _numbered(persona + ["\t".join(line) for line in lines])
            for kind, lines in files.items():
                name = f"{fold}_{kind}{'' if cands else '_no_cands'}.txt"
                (home / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (home / ".built").write_text(f"2020-01-01 00:00:00.000000\n{VERSION}", encoding="utf-8")
    return str(folder)


def _speakers(rng: random.Random, count: int):
    def person():
        return {
            "food": rng.choice(FOODS),
            "pet": rng.choice(PETS),
            "job": rng.choice(JOBS),
            "town": rng.choice(TOWNS),
        }

    return [(person(), person()) for _ in range(count)]


def _kinds(own: dict, partner: dict) -> dict[str, list[str]]:
    def lines(whose: str, sentences: tuple[str, ...], person: dict) -> list[str]:
        return [f"{whose} {s.format(**person)}" for s in sentences] if person else []

    yours, theirs = "your persona:", "partner's persona:"
    return {
        "self_original": lines(yours, ORIGINAL, own),
        "self_revised": lines(yours, REVISED, own),
        "both_original": lines(yours, ORIGINAL, own) + lines(theirs, ORIGINAL, partner),
        "both_revised": lines(yours, REVISED, own) + lines(theirs, REVISED, partner),
        "none_original": [],
    }


def _exchange(turn, own, partner, answers, rng) -> tuple[str, str, str, str]:
    """Text, label, empty reward, candidates: the label last, as in the real files."""
    text, label = turn[0].format(**partner), turn[1].format(**own)
    others = rng.sample([answer for answer in answers if answer != label], CANDIDATES - 1)
    return text, label, "", "|".join([*others, label])


def _all_answers() -> list[str]:
    values = {"food": FOODS, "pet": PETS, "job": JOBS, "town": TOWNS}
    return [
        answer.format(**{key: value})
        for _, answer in TURNS
        for key, choices in values.items()
        if f"{{{key}}}" in answer
        for value in choices
    ]


def _numbered(lines: list[str]) -> list[str]:
    return [f"{number} {line}" for number, line in enumerate(lines, start=1)]
