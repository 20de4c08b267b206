"""``-t p2bot:persona_perception``: whose persona is it? (paper, sections 4.1 and 5.4)"""

import copy
import random

from parlai.core.loader import load_teacher_module
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.teachers import FixedDialogTeacher
from parlai.utils.data import DatatypeHelper

from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.personas import SHARED_SENTENCES
from p2bot_parlai.parlai_support.dialogues import (
    DEFAULT_TASK,
    PersonaFold,
    SpokenDialogue,
    read_dialogues,
    task_behind,
)
from p2bot_parlai.parlai_support.sharding import own_share


def source_task(opt: Opt) -> str:
    """The task behind, by name or by ``--perception-task``; see `task_behind`."""
    return task_behind(opt, opt.get("perception_task"))


class PersonaPerceptionTeacher(FixedDialogTeacher):
    """
    One message a dialogue: what a speaker said, and personas to choose from.

    - ``text``: the speaker's utterances, one a line; ``labels``: the speaker's persona, a
      profile sentence a line.
    - ``label_candidates``: in training the persona and one distractor, drawn anew each time;
      in evaluation the persona among ``--distractors`` others, always the same.
      ``candidate_people`` has the person of each.
    - in evaluation also ``hard_candidates`` (``--hard-candidates`` in all; left out if the fold
      has fewer people), ``profile_sentences`` of the whole fold, and ``own_sentences``, the
      rows of the speaker's own; and ``reveals``, which of the own sentences each utterance
      reveals, if the source task knows (`p2bot:sketch` does).

    A distractor is always another person, see `p2bot_parlai.method.personas.group_by_person`.
    The lists depend on the seed, the order of the dialogues and the people: original and
    revised files of the same dialogues have the same lists.
    """

    @classmethod
    def add_cmdline_args(cls, parser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        group = parser.add_argument_group("Persona perception")
        group.add_argument(
            "--perception-task",
            type=str,
            default=DEFAULT_TASK,
            help="ConvAI2-like task that the dialogues come from; own files: fromfile:fbformat "
            "with --fromfile-datapath FILE. -t p2bot:persona_perception:self_revised is short "
            "for --perception-task convai2:self_revised",
        )
        group.add_argument(
            "--distractors",
            type=int,
            default=31,
            help="Personas of other people in each list in evaluation (section 5.4)",
        )
        group.add_argument(
            "--hard-candidates",
            type=int,
            default=100,
            help="Size of the longer list in evaluation, true persona included; left out where "
            "there are fewer people; -1: one of everybody",
        )
        group.add_argument(
            "--perception-seed",
            type=int,
            default=42,
            help="Decides the lists of evaluation; keep it to compare models",
        )
        group.add_argument(
            "--same-person-sentences",
            type=int,
            default=SHARED_SENTENCES,
            help="Personas that share this many sentences are of one person, and never each "
            "other's distractors; raise it where different people have much in common",
        )
        partial_opt = partial_opt or Opt()
        for task in (partial_opt.get("task") or "").split(","):
            if "ersona" in task:  # ours, among several
                source = source_task({**partial_opt, "task": task})
                load_teacher_module(source).add_cmdline_args(parser, partial_opt)
        return parser

    def __init__(self, opt: Opt, shared=None):
        opt = copy.deepcopy(opt)
        self.evaluating = not DatatypeHelper.is_training(opt["datatype"])
        if opt["distractors"] < 1:
            raise UsageError(f"--distractors {opt['distractors']}: at least 1 is needed")
        if shared:
            self.fold = shared["fold"]
        else:
            name, dialogues = self.read(opt, DatatypeHelper.fold(opt["datatype"]))
            self.fold = PersonaFold(
                dialogues, name, opt["perception_seed"], opt["same_person_sentences"]
            )
            self.fold.check_size(opt["distractors"] if self.evaluating else 1)
        opt["mutators"] = None  # the task behind this one has applied them
        super().__init__(opt, shared)
        self.id = opt["task"].removeprefix("p2bot:")  # two variants in one run differ
        self._indices = range(len(self.fold))[own_share(opt)]
        self.reset()

    @staticmethod
    def read(opt: Opt, fold: str) -> tuple[str, list[SpokenDialogue]]:
        """The name of the source task, and its dialogues."""
        task = source_task(opt)
        return task, read_dialogues(opt, task, fold)

    def share(self):
        return {**super().share(), "fold": self.fold}

    def num_episodes(self) -> int:
        return len(self._indices)

    def num_examples(self) -> int:
        """In training of all processes, as ParlAI adds up their epochs."""
        return self.num_episodes() if self.evaluating else len(self.fold)

    def get(self, episode_idx: int, entry_idx: int = 0) -> Message:
        index = self._indices[episode_idx]
        fold, dialogue = self.fold, self.fold.dialogues[index]
        if self.evaluating:
            chosen = fold.shortlist(index, self.opt["distractors"] + 1)
        else:
            chosen = [index, fold.distractor(index, random)]
        message = {
            "text": "\n".join(dialogue.utterances),
            "labels": [self._persona(index)],
            "label_candidates": [self._persona(i) for i in chosen],
            "candidate_people": [fold.people[i] for i in chosen],
            "person": fold.people[index],
            "episode_done": True,
        }
        if self.evaluating:
            size = self.opt["hard_candidates"]
            size = len(fold.members) if size == -1 else size
            if 1 < size <= len(fold.members):
                hard = fold.shortlist(index, size)
                message["hard_candidates"] = [self._persona(i) for i in hard]
            message["profile_sentences"] = fold.sentences
            message["own_sentences"] = fold.own_sentences(index)
            if dialogue.reveals is not None:
                message["reveals"] = dialogue.reveals
        return Message(message)

    def _persona(self, index: int) -> str:
        return "\n".join(self.fold.dialogues[index].persona)
