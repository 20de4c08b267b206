"""Whole dialogues of one speaker with the speaker's persona, and the lists of others."""

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from parlai.core.opt import Opt
from parlai.core.teachers import Teacher, create_task_agent_from_taskname
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import parse_message
from p2bot_parlai.method.personas import (
    SHARED_SENTENCES,
    draw_others,
    group_by_person,
    sentence_key,
)
from p2bot_parlai.parlai_support.mutators import WHOLE_DIALOGUE, answered, labels_of
from p2bot_parlai.parlai_support.ours import READER, SHORT_NAME
from p2bot_parlai.parlai_support.varying import VARYING

DEFAULT_TASK = "convai2:self_original"


@dataclass
class SpokenDialogue:
    """
    What one speaker said, and their persona.

    :param utterances: x_1 .. x_N. :param persona: profile sentences.
    :param heard_first: what the partner said before x_1; None if this speaker begins.
    :param reveals: index of the profile sentence that each utterance reveals, None for none;
        None altogether where the task does not say, as with real dialogues.
    """

    utterances: list[str]
    persona: list[str]
    heard_first: str | None = None
    reveals: list[int | None] | None = None


class PersonaFold:
    """
    All dialogues of a fold, who is who, and who else each dialogue may be confused with.

    Distractors are always other people, see `group_by_person`; for one dialogue they are
    all different people.

    :param name: the task that the dialogues come from, for messages to the user.
    :param seed: decides the lists, whatever the order in which they are asked for.
    :param shared_sentences: see `group_by_person`.
    """

    def __init__(
        self,
        dialogues: Sequence[SpokenDialogue],
        name: str,
        seed: int,
        shared_sentences: int = SHARED_SENTENCES,
    ):
        self.dialogues, self.name, self.seed = dialogues, name, seed
        self.people = group_by_person([d.persona for d in dialogues], shared_sentences)
        self.members: list[list[int]] = [[] for _ in set(self.people)]
        for index, person in enumerate(self.people):
            self.members[person].append(index)
        # one wording of each sentence: "i'm" and "i am" are no two profiles
        rows: dict[str, int] = {}
        wordings = []
        for dialogue in dialogues:
            for sentence in dialogue.persona:
                if rows.setdefault(sentence_key(sentence), len(rows)) == len(wordings):
                    wordings.append(sentence)
        self.sentences = tuple(wordings)
        self._rows = rows

    def __len__(self) -> int:
        return len(self.dialogues)

    def own_sentences(self, index: int) -> list[int]:
        """Rows of `sentences` that belong to the dialogue's persona."""
        keys = map(sentence_key, self.dialogues[index].persona)
        return list(dict.fromkeys(self._rows[key] for key in keys))

    def check_size(self, distractors: int) -> None:
        """:raises P2botError: where there are too few people."""
        others = len(self.members) - 1
        if others < distractors:
            raise P2botError(
                f"{self.name} has {len(self.members)} different people, which leaves {others} as "
                f"distractors where {distractors} are asked for: lower --distractors, use a "
                "larger file, or, where many people share sentences, raise --same-person-sentences"
            )

    def distractor(self, index: int, rng) -> int:
        """One dialogue of somebody else, drawn anew."""
        return draw_others(self.people[index], self.members, 1, rng)[0]

    def shortlist(self, index: int, size: int) -> list[int]:
        """
        The dialogue among ``size - 1`` of other people, shuffled; always the same list.
        """
        rng = random.Random(f"{self.seed} {index} {size}")
        chosen = [index, *draw_others(self.people[index], self.members, size - 1, rng)]
        rng.shuffle(chosen)
        return chosen


# the option that says what a task of ours is built on
BUILT_ON = {"selfplay": "selfplay_task", "persona_perception": "perception_task"}


def task_behind(opt: Opt, default: str | None) -> str:
    """
    The task that ``p2bot:persona_perception[:<task>]`` or ``p2bot:selfplay[:<task>]`` is
    built on.

    ``self_revised`` alone means ``convai2:self_revised``; a name with a colon is taken as
    it is (``fromfile:fbformat``).

    :param default: what counts where the name says nothing.
    """
    name = ":".join((opt.get("task") or "").split(":")[2:])
    if not name:
        return default or DEFAULT_TASK
    return name if ":" in name else f"convai2:{name}"


def own_tasks(model_file: str | None) -> list[str]:
    """
    The ConvAI2-like tasks that a model was trained on, of another corpus than ConvAI2; none where
    there is no such model.
    """
    if not model_file or not PathManager.exists(f"{model_file}.opt"):
        return []
    saved = Opt.load(f"{model_file}.opt")
    tasks = []
    for task in filter(None, str(saved.get("task")).split(",")):
        kind = task.split(":")[1:2]
        if kind in (["selfplay"], ["persona_perception"]):
            task = task_behind(Opt(task=task), saved.get(BUILT_ON[kind[0]]))
        tasks.append(task)
    return [task for task in tasks if not task.startswith(("convai2", "None"))]


def read_dialogues(opt: Opt, task: str, fold: str) -> list[SpokenDialogue]:
    """
    The dialogues of a ConvAI2-like teacher, in its order.

    The persona is that of the speaker of the labels ("your persona:" lines), so what this
    speaker said are the labels of the episode.

    :param fold: train, valid or test.
    :raises P2botError: for a dialogue without persona, or where no dialogue has an utterance.
    """
    dialogues = []
    needed = 'each needs "your persona:" lines and, behind a tab, what that person said'
    for number, episode in enumerate(episodes(teacher_of(opt, task, fold))):
        utterances, persona, heard, reveals = [], [], [], []
        for message in episode:
            said = parse_message(message.get("text") or "")
            persona += said.persona
            heard.append(said.utterance)
            utterances.append(" ".join(labels_of(message)[0].split()))
            if "reveals" in message:  # see p2bot_parlai.tasks.sketch
                reveals.append(message["reveals"])
        if not persona:
            raise P2botError(
                f"dialogue {number + 1} of {task} ({fold}) has no profile sentence: {needed}"
            )
        dialogues.append(SpokenDialogue(utterances, persona, heard[0], reveals or None))
    if not dialogues:
        raise P2botError(f"{task} ({fold}) has no dialogue with an utterance: {needed}")
    return dialogues


class Responses:
    """The distinct training responses of a run's tasks of dialogues, read when first needed."""

    def __init__(self, opt: Opt):
        self.opt = opt

    @cached_property
    def texts(self) -> list[str]:
        tasks = [task for task in (self.opt.get("task") or "").split(",") if task]
        found: dict[str, None] = {}
        for task in tasks:
            if task.split(":")[1:2] != ["selfplay"]:
                for episode in episodes(teacher_of(self.opt, task, "train")):
                    found.update(
                        dict.fromkeys(t for message in episode for t in labels_of(message))
                    )
        return list(found)


def teacher_of(opt: Opt, task: str, fold: str) -> Teacher:
    """
    The teacher of a task, in its order, with whole messages and the persona of the file
    (without `VARYING`). :param fold: as above.
    """
    settings = Opt(copy.deepcopy(opt))
    settings.update(task=task, batchsize=1, hide_labels=False)
    settings[READER] = SHORT_NAME
    settings["datatype"] = "train:ordered" if fold == "train" else fold
    names = (settings.get("mutators") or "").replace(",", "+").split("+")
    kept = [name for name in names if name not in (WHOLE_DIALOGUE, *VARYING)]
    settings["mutators"] = "+".join(kept) or None
    return create_task_agent_from_taskname(settings)[0]


def episodes(teacher: Teacher) -> Iterator[list]:
    """
    The messages of each episode of a teacher that have labels (`answered`), once through; the
    teacher is shut down. An episode without any is left out.
    """
    teacher.reset()
    episode = []
    while not teacher.epoch_done():
        message = teacher.act()
        if message.is_padding():
            break
        episode.append(message)
        if message["episode_done"]:
            if found := answered(episode):
                yield found
            episode = []
    if found := answered(episode):
        yield found
    teacher.shutdown()
