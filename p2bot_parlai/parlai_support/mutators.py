"""
ParlAI mutators: how a teacher's episodes become what the Transmitter trains on.

Imported by the plug-in, so that `--mutators` knows their names.
"""

from parlai.core.message import Message
from parlai.core.mutators import EpisodeMutator, register_mutator
from parlai.core.opt import Opt
from parlai.core.teachers import FixedDialogTeacher
from parlai.core.worlds import BatchWorld, MultiWorld, World
from parlai.utils.data import DatatypeHelper

WHOLE_DIALOGUE = "p2bot_whole_dialogue"


@register_mutator(WHOLE_DIALOGUE)
class WholeDialogueMutator(EpisodeMutator):
    """
    A training episode as one message, whose ``dialogue`` is the list of its turns.

    Each turn has the ``text``, ``labels`` and ``label_candidates`` of the teacher's message;
    the message itself has those of the first, so that it still is a training example.
    Evaluation and episodes of openings (`p2bot:selfplay`) are left as they are.
    """

    def episode_mutation(self, episode: list[Message]) -> list[Message]:
        if not DatatypeHelper.is_training(self.opt["datatype"]) or "labels" not in episode[0]:
            return episode
        fields = ("text", "labels", "label_candidates")
        first = episode[0].copy()
        first.pop("label_candidates", None)
        first["dialogue"] = [{k: turn[k] for k in fields if k in turn} for turn in episode]
        return [first]


def add_whole_dialogues(opt: Opt) -> None:
    """Let the training teachers of this run give whole dialogues."""
    names = [name for name in (opt.get("mutators") or "").split("+") if name]
    opt["mutators"] = "+".join([*without_whole_dialogues(names), WHOLE_DIALOGUE])


def without_whole_dialogues(names: list[str]) -> list[str]:
    return [name for name in names if name != WHOLE_DIALOGUE]


def count_dialogues(world: World) -> None:
    """
    Let an epoch be an epoch: a teacher that gives whole dialogues has as many examples as
    episodes, but ParlAI asks it for its turns.
    """
    if isinstance(world, BatchWorld | MultiWorld):
        for sub in world.worlds:
            count_dialogues(sub)
        world = getattr(world, "world", None)  # what a BatchWorld asks
        if world is None:
            return
        return count_dialogues(world)
    if hasattr(world, "world"):  # dynamic batching
        return count_dialogues(world.world)
    teacher = world.get_agents()[0]
    if isinstance(teacher, FixedDialogTeacher):
        teacher.num_examples = teacher.num_episodes
