"""
The state of a training run: random states, place in the data, unfinished conversations.

ParlAI's checkpoints hold weights, optimizer and counters only, so a resumed run sees other
examples than an uninterrupted one. `capture` and `restore` add the rest, as plain data that a
checkpoint can hold.
"""

import random

import numpy as np
import torch
from parlai.core.teachers import FixedDialogTeacher
from parlai.core.worlds import BatchWorld, MultiWorld, World
from parlai.utils import logging
from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue
from p2bot_parlai.parlai_support.files import parse_json

# the counts of a new run, see P2botTrainLoop._counts
NOTHING_DONE = {
    "parleys": 0,
    "train_steps": 0,
    "total_epochs": 0.0,
    "train_time": 0.0,
    "best_valid": None,
    "impatience": 0,
}


def capture(world: World) -> dict:
    """The state of one process: random numbers and position in ``world``."""
    return {"random": random_state(), "position": position(world)}


def restore(world: World, state: dict) -> None:
    """Return this process to the state that `capture` saved."""
    if state["position"] is None or not _same_shape(world, state["position"]):
        logging.warning(
            "The place in the data is not resumed (another task, batch size or kind of "
            "batching): the run goes on with other examples."
        )
    else:
        _restore_position(world, state["position"])
    # last: building an episode may draw random numbers
    set_random_state(state["random"])


def saved_model(opt: dict) -> str | None:
    """What ParlAI's training loop resumes: the checkpoint, else the model, else nothing."""
    model = opt.get("model_file")
    if not model:
        return None
    checkpoint = f"{model}.checkpoint"
    if opt["load_from_checkpoint"] and PathManager.exists(checkpoint):
        return checkpoint
    return model if PathManager.exists(model) else None


def check_counts(opt: dict) -> None:
    """
    Read what ParlAI's training loop will read of an earlier run: the steps and reports.

    :raises P2botError: where that is damaged.
    """
    if opt.get("model_file"):
        for ending in (".checkpoint", ""):
            _read_counts(f"{opt['model_file']}{ending}")


def is_reported(model: str) -> bool:
    """Whether the run of a model finished, the last evaluation included."""
    return bool(_read_counts(model).get("final_valid_report"))


def _read_counts(model: str) -> dict:
    path = f"{model}.trainstats"
    if not PathManager.exists(path):
        return {}
    try:
        with PathManager.open(path, "rb") as file:
            found = parse_json(file.read())
    except (OSError, ValueError) as error:
        found = error
    if not isinstance(found, dict):
        raise P2botError(
            f"{path}, how far the run was, is damaged: put another copy in its place, or "
            "delete it, and the run counts from zero"
        )
    return found


def random_state() -> dict:
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict) -> None:
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])


def position(world: World) -> dict | None:
    """Plain data about a tree of worlds; None where one of them keeps buffers."""
    if isinstance(world, BatchWorld | MultiWorld):
        below = [position(sub) for sub in world.worlds]
        if None in below:
            return None
        found = {"kind": type(world).__name__, "worlds": below}
        if isinstance(world, MultiWorld):
            current = world.worlds[world.world_idx] if world.world_idx >= 0 else None
            found["world_idx"], found["parleys"] = world.world_idx, world.parleys
            found["new_world"] = world.new_world or (current is not None and current.episode_done())
        return found
    agents = world.get_agents() if type(world).__name__ != "DynamicBatchWorld" else []
    if len(agents) != 2 or not isinstance(agents[0], FixedDialogTeacher):
        return None
    teacher, agent = agents
    dialogue = agent.history.dialogue if hasattr(agent, "history") else Dialogue()
    return {
        "kind": "leaf",
        "task": str(teacher.opt["task"]),
        "index": teacher.index.value,
        "episode": teacher.episode_idx,
        "entry": getattr(teacher, "entry_idx", 0),  # unset before the first episode
        "episode_done": teacher._episode_done,
        "waiting": list(teacher.window.waiting) if hasattr(teacher, "window") else [],
        "persona": list(dialogue.persona),
        "partner_persona": list(dialogue.partner_persona),
        "turns": [list(turn) for turn in dialogue.turns],
    }


def _same_shape(world: World, saved: dict) -> bool:
    here = position(world)
    return here is not None and _outline(here) == _outline(saved)


def _outline(found: dict):
    return (found["kind"], found.get("task"), [_outline(sub) for sub in found.get("worlds", [])])


def _restore_position(world: World, saved: dict) -> None:
    if "worlds" in saved:
        for sub, state in zip(world.worlds, saved["worlds"], strict=True):
            _restore_position(sub, state)
        if isinstance(world, MultiWorld):
            world.world_idx, world.new_world = saved["world_idx"], saved["new_world"]
            world.parleys = saved["parleys"]
        return
    teacher, agent = world.get_agents()
    if not saved["episode_done"]:
        # let the teacher open the episode itself, as mutators may change it
        draw, teacher.next_episode_idx = teacher.next_episode_idx, lambda: saved["episode"]
        teacher._episode_done = True
        teacher.next_example()
        teacher.next_episode_idx = draw
        teacher.entry_idx, teacher._episode_done = saved["entry"], False
    teacher.index.value = saved["index"]
    if hasattr(teacher, "window"):  # see `similar_lengths`
        teacher.window.waiting = list(saved.get("waiting", ()))
    if hasattr(agent, "history"):
        turns = [(own, text) for own, text in saved["turns"]]
        agent.history.dialogue = Dialogue(saved["persona"], saved["partner_persona"], turns)
