"""Personas for a chat: chosen on the command line, or drawn from the ConvAI2 files."""

import os
import random
from collections.abc import Iterable, Sequence

import parlai.utils.logging as logging
from parlai.core.opt import Opt
from parlai.utils.data import DatatypeHelper
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import OWN_PERSONA, PARTNER_PERSONA
from p2bot_parlai.parlai_support.convai2_files import build, check_file, home_of
from p2bot_parlai.parlai_support.dialogues import read_dialogues
from p2bot_parlai.parlai_support.files import read_text

Persona = Sequence[str]  # profile sentences


def split_persona(text: str) -> Persona:
    """``"i like tea.|i have two dogs."`` -> its sentences; empty parts are ignored."""
    return [sentence for part in text.split("|") if (sentence := " ".join(part.split()))]


def persona_text(own: Persona, partner: Persona = ()) -> str:
    """The message that gives a ConvAI2 agent its persona; "" without one."""
    lines = [f"{OWN_PERSONA} {sentence}" for sentence in own]
    return "\n".join(lines + [f"{PARTNER_PERSONA} {sentence}" for sentence in partner])


class ChatPersonas:
    """
    The two personas of each new chat.

    A chosen one is kept. The others are drawn from the task's files, reproducibly with
    ``--seed``; a task without personas (convai2:none, or not ConvAI2) has none.

    :param alone: whether a chosen first persona leaves the second speaker without one.
    """

    def __init__(self, opt: Opt, alone: bool = False):
        self.opt = opt
        self.chosen = [
            None if opt.get(name) is None else split_persona(opt[name])
            for name in ("persona", "partner_persona")
        ]
        if alone and self.chosen[0] is not None and self.chosen[1] is None:
            self.chosen[1] = []
        self.shows_both = "both" in _variant(opt["task"])
        self.rng = random.Random(opt.get("seed"))
        self.pool: list[Persona] | None = None

    def draw(self) -> list[Persona]:
        """The personas of the first and the second speaker."""
        first, second = self.chosen
        if first is not None and second is not None:
            return [first, second]
        if self.pool is None:
            self.pool = load_personas(self.opt)
        drawn = self.rng.sample(self.pool, min(2, len(self.pool)))
        drawn += [[]] * (2 - len(drawn))
        return [d if c is None else c for c, d in zip(self.chosen, drawn, strict=True)]


def _personas_of_task(opt: Opt) -> list[Persona]:
    """The distinct personas of a task's validation set, which no model was trained on."""
    dialogues = read_dialogues(opt, opt["task"], "valid")
    return list(dict.fromkeys(tuple(dialogue.persona) for dialogue in dialogues))


def load_personas(opt: Opt) -> list[Persona]:
    """
    The distinct personas of the ConvAI2 file that fits the task best; none for a task
    without personas.

    :raises P2botError: if no file has any.
    """
    base, variant = opt["task"].split(":")[0].lower(), _variant(opt["task"])
    if f"{opt['task']}:".startswith("p2bot:sketch:"):
        return [] if "none" in variant else _personas_of_task(opt)
    if "convai2" not in base or "none" in variant:
        return []
    build(opt)
    wanted, *others = _file_names(opt["datatype"], variant)
    for name in [wanted, *others]:
        path = os.path.join(home_of(opt), f"{name}.txt")
        if not PathManager.exists(path):
            continue
        check_file(path)
        if _fold_and_wording(name) != _fold_and_wording(wanted):
            logging.info(f"personas are drawn from {name}.txt: there is no {wanted}.txt")
        return read_personas(read_text(path).split("\n"))
    raise P2botError(
        f"{home_of(opt)} has no file with personas ({wanted}.txt or another): put it there, or "
        "choose both personas with --persona and --partner-persona"
    )


def read_personas(lines: Iterable[str]) -> list[Persona]:
    """The distinct personas of a ConvAI2 file, each speaker's own and the partner's."""
    found: dict[tuple[str, ...], None] = {}
    own: list[str] = []
    partner: list[str] = []
    for line in lines:
        number, _, text = line.strip().partition(" ")
        if number == "1":
            found |= dict.fromkeys([tuple(own), tuple(partner)])
            own, partner = [], []
        for mark, sentences in ((OWN_PERSONA, own), (PARTNER_PERSONA, partner)):
            sentence = text.removeprefix(mark).strip()
            if text.startswith(mark) and sentence:
                sentences.append(sentence)
    found |= dict.fromkeys([tuple(own), tuple(partner)])
    return [persona for persona in found if persona]


def _variant(task: str) -> str:
    """
    'convai2:self_original:no_cands' -> 'selforiginal', as convai2:SelfOriginal and
    p2bot:sketch:self_original too.
    """
    parts = task.removeprefix("p2bot:").split(":")
    return "".join(parts[1:2]).replace("_", "").lower()


def _file_names(datatype: str, variant: str) -> list[str]:
    """Candidate files, best first: by wording, then fold, then the rest."""
    fold = DatatypeHelper.fold(datatype)
    folds = list(dict.fromkeys([fold if fold != "test" else "valid", "valid", "train"]))
    wordings = ["original", "revised"]
    kinds = ["self", "both"]
    if "revised" in variant:
        wordings.reverse()
    if "both" in variant:
        kinds.reverse()
    return [
        f"{fold}_{kind}_{wording}{suffix}"
        for wording in wordings
        for fold in folds
        for kind in kinds
        for suffix in ("", "_no_cands")
    ]


def _fold_and_wording(name: str) -> tuple[str, str]:
    """Files that agree in both hold the same personas."""
    fold, _, wording = name.split("_")[:3]
    return fold, wording
