"""
ParlAI mutators: how a teacher's episodes become what our agents learn from and answer.

Imported by the plug-in, so that `--mutators` knows their names.
"""

import itertools
from collections.abc import Iterable, Iterator

from parlai.core.message import Message
from parlai.core.mutators import EpisodeMutator, register_mutator
from parlai.core.opt import Opt
from parlai.core.teachers import DialogTeacher, FixedDialogTeacher, ParlAIDialogTeacher
from parlai.core.worlds import MultiWorld, World
from parlai.utils import distributed
from parlai.utils.data import DatatypeHelper

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.sharding import is_shared_out

ANSWERED, WHOLE_DIALOGUE = "p2bot_answered", "p2bot_whole_dialogue"


# ------------------------------------------------------------ examples without a label
def labels_of(message: dict) -> list[str]:
    """The labels that say something, of training or of evaluation."""
    found = message.get("labels") or message.get("eval_labels") or ()
    return [label for label in found if label and label.strip()]


def answered(episode: Iterable[Message]) -> list[Message]:
    """
    The examples that have a label.

    What an example without one says is said by the partner before the next example, which is
    how ParlAI reads a line of ConvAI2 without a label.
    """
    found, heard = [], []
    for message in episode:
        if not (labels := labels_of(message)):
            heard.append(message.get("text"))
            continue
        texts = [text for text in (*heard, message.get("text")) if text]
        field = "labels" if message.get("labels") else "eval_labels"
        if heard or len(labels) < len(message[field]):
            message = message.copy()
            message.force_set(field, labels)
            message.force_set("text", "\n".join(texts))
        found.append(message)
        heard = []
    return found


@register_mutator(ANSWERED)
class AnsweredMutator(EpisodeMutator):
    """
    `answered`, for all agents of ours. In evaluation what follows the last label stays, as a
    message without a label: it is answered, and counted in no metric.
    """

    def episode_mutation(self, episode: list[Message]) -> list[Message]:
        found = answered(episode)
        if DatatypeHelper.is_training(self.opt["datatype"]):
            return found
        last = next((n for n, m in enumerate(reversed(episode)) if labels_of(m)), len(episode))
        if last:
            rest = episode[len(episode) - last :]
            message = rest[-1].copy()
            message.force_set("text", "\n".join(m["text"] for m in rest if m.get("text")))
            for field in ("labels", "eval_labels"):
                message.pop(field, None)
            found.append(message)
        return found


def add_answered(opt: Opt) -> None:
    """Let the teachers of a world with an agent of ours give `answered` episodes."""
    names = [name for name in (opt.get("mutators") or "").split("+") if name]
    opt["mutators"] = "+".join([ANSWERED, *(name for name in names if name != ANSWERED)])


# ---------------------------------------------------------------------- whole dialogues
@register_mutator(WHOLE_DIALOGUE)
class WholeDialogueMutator(EpisodeMutator):
    """
    A training episode as one message, whose ``dialogue`` is the list of its turns.

    Each turn has the ``text``, ``labels`` and ``label_candidates`` of the teacher's message;
    the message itself has those of the first, so that it still is a training example.
    Evaluation is left as it is.
    """

    def episode_mutation(self, episode: list[Message]) -> list[Message]:
        if not DatatypeHelper.is_training(self.opt["datatype"]) or not episode:
            return episode
        fields = ("text", "labels", "label_candidates")
        first = episode[0].copy()
        first.pop("label_candidates", None)
        first["dialogue"] = [{k: turn[k] for k in fields if k in turn} for turn in episode]
        return [first]


def add_whole_dialogues(opt: Opt) -> None:
    """Let the training teachers of this run give whole dialogues."""
    names = [name for name in (opt.get("mutators") or "").split("+") if name]
    others = [name for name in names if name != WHOLE_DIALOGUE]
    opt["mutators"] = "+".join([*others, WHOLE_DIALOGUE])


def count_learnt(world: World, whole: bool) -> None:
    """
    Let an epoch be an epoch: ParlAI asks a teacher for the lines of its file, and we train on the
    `answered` ones, or on whole dialogues, of all processes.

    :raises P2botError: where no example has a label.
    """
    if isinstance(world, MultiWorld):
        for sub in world.worlds:
            count_learnt(sub, whole)
        return
    if hasattr(world, "world"):  # what a world of batches asks
        return count_learnt(world.world, whole)
    teacher = world.get_agents()[0]
    in_memory = "stream" not in teacher.opt["datatype"]
    if in_memory and isinstance(teacher, DialogTeacher | ParlAIDialogTeacher):
        counts = [len(answered(messages_of(teacher, n))) for n in range(teacher.num_episodes())]
        if counts and not any(counts):
            raise P2botError(
                f"{teacher.opt['task']} has no example with a label: in ConvAI2's form it stands "
                "behind a tab"
            )
        number = sum(map(bool, counts)) if whole else sum(counts)
        if is_shared_out(teacher.opt["datatype"]):
            number = sum(distributed.all_gather_list(number))
        teacher.num_examples = lambda: number
    elif whole and isinstance(teacher, FixedDialogTeacher):
        teacher.num_examples = teacher.num_episodes


def messages_of(teacher: FixedDialogTeacher, number: int) -> Iterator[Message]:
    """Those of an episode, before mutators."""
    for place in itertools.count():
        message = teacher.get(number, place)
        yield message
        if message["episode_done"]:
            return
