"""
Dialogue NLI (Welleck et al., 2019): does an utterance entail a profile sentence?

``-t p2bot:persona_nli`` asks just that, for `p2bot/persona_nli`; ``-t p2bot:entailed_pairs``
takes the entailed pairs as dialogues, for the Receiver. Both read the same files.

The valid file of Dialogue NLI is made from the dev set of PersonaChat: do not train on it, or
the model has seen the personas of the evaluation.
"""

from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.teachers import FixedDialogTeacher
from parlai.utils.data import DatatypeHelper

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.nli import LABELS
from p2bot_parlai.parlai_support.dialogues import SpokenDialogue
from p2bot_parlai.parlai_support.nli_files import LabelledPair, add_nli_path, read_pairs
from p2bot_parlai.parlai_support.sharding import own_share
from p2bot_parlai.tasks.persona_perception.agents import PersonaPerceptionTeacher
from p2bot_parlai.tasks.sketch.corpus import DIALOGUES
from p2bot_parlai.tasks.sketch.nli import sketch_pairs

SKETCH = "sketch"


class PersonaNliTeacher(FixedDialogTeacher):
    """
    A message a pair: ``text`` holds the utterance and, on the next line, the profile
    sentence; the label is positive, neutral or negative.

    ``p2bot:persona_nli`` reads ``nli-<fold>.txt``, one
    ``utterance</s>profile sentence</s>label`` a line, or a CSV file;
    ``p2bot:persona_nli:sketch`` generates pairs from `p2bot:sketch`, which knows what its people
    say about themselves.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_nli_path(parser)
        return parser

    def __init__(self, opt: Opt, shared=None):
        super().__init__(opt, shared)
        self.id = opt["task"].removeprefix("p2bot:")
        self.pairs = shared["pairs"] if shared else self._read()
        self._own = self.pairs[own_share(opt)]
        self.reset()

    def _read(self) -> list[LabelledPair]:
        # like convai2, there is no test fold: valid is what models are compared on
        fold = "train" if DatatypeHelper.fold(self.opt["datatype"]) == "train" else "valid"
        variant = self.opt["task"].split(":")[2:]
        if not variant:
            return read_pairs(self.opt, fold)[1]
        if variant != [SKETCH]:
            raise P2botError(
                f"{self.opt['task']}: choose p2bot:persona_nli, which reads files, or "
                f"p2bot:persona_nli:{SKETCH}, which generates pairs"
            )
        return sketch_pairs(fold, self.opt.get("sketch_seed", 1), DIALOGUES)

    def share(self):
        return {**super().share(), "pairs": self.pairs}

    def num_episodes(self) -> int:
        return len(self._own)

    def num_examples(self) -> int:
        """In training of all processes, as ParlAI adds up their epochs."""
        return len(self.pairs if self.training else self._own)

    def get(self, episode_idx: int, entry_idx: int = 0) -> Message:
        utterance, sentence, label = self._own[episode_idx]
        return Message(text=f"{utterance}\n{sentence}", labels=[label], episode_done=True)


class EntailedPairsTeacher(PersonaPerceptionTeacher):
    """
    The positive pairs, each as a dialogue of one utterance by a person with one profile
    sentence. Distractors are other sentences, as in `PersonaPerceptionTeacher`.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_nli_path(parser)
        return parser

    @staticmethod
    def read(opt: Opt, fold: str) -> tuple[str, list[SpokenDialogue]]:
        path, pairs = read_pairs(opt, fold)
        return path, [SpokenDialogue([a], [b]) for a, b, label in pairs if label == LABELS[0]]
