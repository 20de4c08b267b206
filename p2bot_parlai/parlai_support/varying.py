"""
Mutators that vary the dialogues that a Transmitter, or a baseline, is trained on.

``--mutators p2bot_reword_persona+p2bot_drop_persona+p2bot_own_distractors``, or some of them. A
dialogue is changed anew whenever it is drawn, by Python's random numbers, which follow ``--seed``
and a resumed run. Evaluation is left as it is, and so is what self-play and the Receiver read.
"""

import random
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable

from parlai.core.message import Message
from parlai.core.mutators import EpisodeMutator, register_mutator
from parlai.core.opt import Opt
from parlai.utils.data import DatatypeHelper

from p2bot_parlai.method.context import OWN_PERSONA
from p2bot_parlai.method.personas import sentence_key
from p2bot_parlai.metrics.labels import LABELS
from p2bot_parlai.parlai_support.mutators import labels_of
from p2bot_parlai.parlai_support.nli_files import add_nli_path, read_pairs

VARYING = ("p2bot_reword_persona", "p2bot_drop_persona", "p2bot_own_distractors")
REWORD, DROP, OWN_DISTRACTORS = VARYING


class VaryingMutator(EpisodeMutator):
    """Changes training episodes alone."""

    def __init__(self, opt: Opt):
        super().__init__(opt)
        self.training = DatatypeHelper.is_training(opt["datatype"])

    @classmethod
    def add_share(cls, parser, flag: str, default: float, help_: str) -> None:
        group = parser.add_argument_group("P²Bot training data")
        group.add_argument(flag, type=float, default=default, help=help_)

    def episode_mutation(self, episode: list[Message]) -> list[Message]:
        if self.training:
            self.vary(episode)
        return episode

    @abstractmethod
    def vary(self, episode: list[Message]) -> None:
        """Change the messages of an episode."""


def change_persona(episode: list[Message], change: Callable[[str], str | None]) -> None:
    """Let each profile sentence of the speaker be what `change` makes of it; None drops it."""
    for message in episode:
        lines = []
        for line in (message.get("text") or "").split("\n"):
            own = line.strip()
            if not own.startswith(OWN_PERSONA):
                lines.append(line)
            elif sentence := change(own.removeprefix(OWN_PERSONA).strip()):
                lines.append(f"{OWN_PERSONA} {sentence}")
        message.force_set("text", "\n".join(lines))


@register_mutator(DROP)
class DropPersonaMutator(VaryingMutator):
    """Some dialogues without the speaker's persona, so that p(x) without it is learnt too."""

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        cls.add_share(
            parser, "--drop-persona", 0.05, "Share of training dialogues without the persona"
        )

    def vary(self, episode: list[Message]) -> None:
        if random.random() < self.opt["drop_persona"]:
            change_persona(episode, lambda sentence: None)


@register_mutator(REWORD)
class RewordPersonaMutator(VaryingMutator):
    """
    Profile sentences replaced by sentences that entail them, by the positive pairs of Dialogue
    NLI's training file (of the dev set's personas there is another file, which is not read), so
    that there is less to copy. What the speaker says in the same dialogue is never taken.
    """

    def __init__(self, opt: Opt):
        super().__init__(opt)
        self.entailing: dict[str, list[str]] = defaultdict(list)
        for other, sentence, label in read_pairs(opt, "train")[1] if self.training else ():
            if label == LABELS[0]:
                self.entailing[sentence_key(sentence)].append(other)

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        add_nli_path(parser)
        cls.add_share(
            parser,
            "--reword-persona",
            0.5,
            "Probability that a profile sentence with positive pairs is replaced in training",
        )

    def vary(self, episode: list[Message]) -> None:
        said = {sentence_key(label) for message in episode for label in labels_of(message)}

        def change(sentence: str) -> str:
            entailing = self.entailing.get(sentence_key(sentence), ())
            found = [other for other in entailing if sentence_key(other) not in said]
            if found and random.random() < self.opt["reword_persona"]:
                return random.choice(found)
            return sentence

        change_persona(episode, change)


@register_mutator(OWN_DISTRACTORS)
class OwnDistractorsMutator(VaryingMutator):
    """
    What the speaker says elsewhere in the dialogue is added to the label candidates, which
    ``--num-distractors`` draws from: the right person at the wrong time. Of 20 candidates and
    seven responses a quarter of the distractors are such; of a file without candidates, all.
    """

    def vary(self, episode: list[Message]) -> None:
        said = [label for message in episode for label in labels_of(message)]
        for message in episode:
            candidates = message.get("label_candidates") or ()
            message.force_set("label_candidates", list(dict.fromkeys([*candidates, *said])))
