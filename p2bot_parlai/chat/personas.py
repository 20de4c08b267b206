"""Personas for a chat: chosen on the command line, or drawn from the task."""

import random
from collections.abc import Sequence

from parlai.core.opt import Opt

from p2bot_parlai.method.context import OWN_PERSONA, PARTNER_PERSONA
from p2bot_parlai.parlai_support.dialogues import read_dialogues

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

    A chosen one is kept. The others are drawn from the task's validation set, reproducibly
    with ``--seed``; a task without personas (convai2:none, or not ConvAI2) has none.

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


def load_personas(opt: Opt) -> list[Persona]:
    """
    The distinct personas of a task's validation set, which no model was trained on; none for
    a task without personas.

    :raises P2botError: if its files are missing or damaged.
    """
    base = opt["task"].split(":")[0].lower()
    sketch = f"{opt['task']}:".startswith("p2bot:sketch:")
    if not ("convai2" in base or sketch) or "none" in _variant(opt["task"]):
        return []
    dialogues = read_dialogues(opt, opt["task"], "valid")
    return list(dict.fromkeys(tuple(dialogue.persona) for dialogue in dialogues))


def _variant(task: str) -> str:
    """
    'convai2:self_original:no_cands' -> 'selforiginal', as convai2:SelfOriginal and
    p2bot:sketch:self_original too.
    """
    parts = task.removeprefix("p2bot:").split(":")
    return "".join(parts[1:2]).replace("_", "").lower()
