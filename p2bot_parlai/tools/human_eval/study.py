"""
The study file, which raters may see, and the key, which they must not see.

``study.json`` holds items: a persona, a context and the responses to rate, in an order drawn
for each item. Only ``study.key.json`` says which system gave which response.
"""

import hashlib
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import parse_json
from p2bot_parlai.tools.human_eval.sampling import Sample, named_turns
from p2bot_parlai.tools.human_eval.scale import SCALE
from p2bot_parlai.tools.report import write_json

FORM = "p2bot human_eval 1"


@dataclass(frozen=True)
class Response:
    """:param id: what a rating names: ``c12r2`` is the second response to the 12th context."""

    id: str
    text: str


@dataclass(frozen=True)
class Item:
    """
    One context and what the systems answered.

    :param context: ("partner" or "speaker", utterance), oldest first. The persona is the
        speaker's, who also gives the response.
    """

    persona: tuple[str, ...]
    context: tuple[tuple[str, str], ...]
    responses: tuple[Response, ...]


@dataclass(frozen=True)
class Study:
    """:param id: a hash of the items, so that ratings of other items are recognised."""

    id: str
    items: tuple[Item, ...]

    def responses(self) -> Iterator[tuple[Item, Response]]:
        """In the order in which they are rated."""
        for item in self.items:
            for response in item.responses:
                yield item, response

    @cached_property
    def ids(self) -> frozenset[str]:
        """Of all responses."""
        return frozenset(response.id for _, response in self.responses())


@dataclass(frozen=True)
class Key:
    """
    :param systems: name -> where its answers came from, in the order of the tables.
    :param answered: response id -> the systems that gave it.
    """

    study: str
    systems: dict[str, str]
    answered: dict[str, list[str]]


def make_study(
    samples: Sequence[Sample], answers: dict[str, list[str]], systems: dict[str, str], seed: int
) -> tuple[Study, Key]:
    """
    Shuffle the answers to each context. Equal answers are rated once.

    :param answers: system -> its answer to each sample. :param systems: see `Key`.
    """
    items, answered = [], {}
    for number, sample in enumerate(samples, start=1):
        by_text: dict[str, list[str]] = {}
        for name in answers:
            by_text.setdefault(answers[name][number - 1], []).append(name)
        texts = list(by_text)
        random.Random(f"{seed} {number}").shuffle(texts)
        responses = [Response(f"c{number}r{place}", text) for place, text in enumerate(texts, 1)]
        answered |= {response.id: by_text[response.text] for response in responses}
        seen = sample.dialogue()
        items.append(Item(tuple(seen.persona), tuple(named_turns(seen)), tuple(responses)))
    study = Study(fingerprint(items), tuple(items))
    return study, Key(study.id, systems, answered)


def fingerprint(items: Sequence[Item]) -> str:
    """Twelve hexadecimal digits that identify the items."""
    text = json.dumps([asdict(item) for item in items], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# ---------------------------------------------------------------------------- files
def beside(study: str, ending: str) -> str:
    """``study.json``, ``.key.json`` -> ``study.key.json``."""
    return str(Path(study).with_suffix(ending)) if study.endswith(".json") else study + ending


def key_path(study: str) -> str:
    return beside(study, ".key.json")


def ratings_path(study: str) -> str:
    return beside(study, ".ratings.jsonl")


def write_study(path: str, study: Study, key: Key, drawn: dict) -> None:
    """
    Write the study and, in a file of its own, the key.

    :param drawn: how the items were drawn (tasks, seed, ...); stored with the key, because the
        seed reveals the order of the systems.
    :raises P2botError: if ratings of another study lie beside it.
    """
    ratings = ratings_path(path)
    if os.path.exists(ratings) and os.path.getsize(ratings):
        before = read_study(path).id if os.path.exists(path) else None
        if before != study.id:
            raise P2botError(
                f"--outfile {path}: {ratings} holds ratings of another study; choose another name"
            )
    items = [asdict(item) for item in study.items]
    scale = {grade.value: f"{grade.name}: {grade.meaning}" for grade in SCALE}
    write_json(path, {"form": FORM, "study": study.id, "scale": scale, "items": items})
    write_json(key_path(path), {"form": FORM, **drawn, **asdict(key)})


def read_study(path: str) -> Study:
    """:raises P2botError: if it is missing, not a study, or was edited."""
    content = _read(path, "--study", "study", "parlai human_eval_prepare")
    try:
        made_of = content["study"]
        items = tuple(
            Item(
                tuple(item["persona"]),
                tuple((who, text) for who, text in item["context"]),
                tuple(Response(r["id"], r["text"]) for r in item["responses"]),
            )
            for item in content["items"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise P2botError(f"--study {path} is damaged: {error!r}") from error
    if fingerprint(items) != made_of:
        raise P2botError(f"--study {path} was edited after it was prepared; prepare it again")
    return Study(content["study"], items)


def read_key(path: str, study: Study) -> Key:
    """:raises P2botError: if it is missing, not a key, or belongs to another study."""
    content = _read(path, "--key", "key", "parlai human_eval_prepare")
    try:
        if content["study"] != study.id:
            raise P2botError(f"--key {path} is the key of another study")
        key = Key(
            study.id, dict(content["systems"]), {i: content["answered"][i] for i in study.ids}
        )
        if not key.systems.keys() >= {name for names in key.answered.values() for name in names}:
            raise ValueError("an answer belongs to a system that it does not list")
    except (KeyError, TypeError, ValueError) as error:
        raise P2botError(f"--key {path} is damaged: {error!r}") from error
    return key


def _read(path: str, option: str, what: str, maker: str) -> dict:
    try:
        content = parse_json(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise P2botError(
            f"{option} {path}: there is no such {what}; create it with {maker}"
        ) from error
    except (OSError, ValueError) as error:
        raise P2botError(f"{option} {path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("form") != FORM:
        raise P2botError(f"{option} {path} is not a {what} of {maker}")
    return content
