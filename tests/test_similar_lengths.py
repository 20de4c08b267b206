"""Dialogues of similar length come in one batch, at random, and go on where a run was stopped."""

import random
from collections import Counter

import tiny
from parlai.core.agents import Agent
from parlai.core.params import ParlaiParser
from parlai.core.worlds import create_task

from p2bot_parlai.parlai_support import resume
from p2bot_parlai.parlai_support.mutators import WHOLE_DIALOGUE
from p2bot_parlai.parlai_support.similar_lengths import WINDOW, Window, sort_by_length

SIZE = 3


def test_a_window_by_hand():
    """The draws, neighbours by length in a batch, the batches in another order."""
    random.seed(0)
    lengths = [5, 40, 7, 300, 90, 11, 60]
    window = Window(lengths, 2)
    state = random.getstate()
    given = [window.draw() for _ in range(2 * WINDOW)]
    random.setstate(state)
    drawn = random.choices(range(7), k=2 * WINDOW)
    assert Counter(given) == Counter(drawn) and not window.waiting
    batches = [sorted(lengths[e] for e in given[i : i + 2]) for i in range(0, len(given), 2)]
    ordered = sorted(lengths[episode] for episode in drawn)
    assert sorted(batches) == [ordered[i : i + 2] for i in range(0, len(ordered), 2)]
    assert batches != sorted(batches)


def begun(datapath, task="convai2:self_original"):
    """The world of a training run, its agent one that says nothing."""
    given = {"task": task, "datapath": str(datapath), "datatype": "train", "batchsize": SIZE}
    parser = ParlaiParser(True, False)
    opt = parser.parse_kwargs(**given, mutators=WHOLE_DIALOGUE, **tiny.QUIET)
    world = create_task(opt, Silent(opt))
    sort_by_length(world)
    return world


class Silent(Agent):
    def act(self):
        return {"id": "silent", "text": ""}

    def batch_act(self, observations):
        return [self.act() for _ in observations]

    def share(self):
        return {"class": Silent, "opt": self.opt}


def batch(world) -> list[str]:
    """The dialogues of the next one, as text."""
    world.parley()
    return [str(row.get_acts()[0]["dialogue"]) for row in world.worlds]


def test_rows_of_a_batch_draw_from_one_window_for_each_task(convai2):
    world = begun(convai2)
    batch(world)
    assert len(world.worlds[0].get_agents()[0].window.waiting) == SIZE * (WINDOW - 1)
    both = begun(convai2, "convai2:self_original,convai2:none")
    windows = [[sub.get_agents()[0].window for sub in row.worlds] for row in both.worlds]
    assert windows[0][0] is not windows[0][1] and windows[0] == windows[1] == windows[2]


def test_a_resumed_run_draws_the_same_dialogues(convai2):
    random.seed(2)
    world = begun(convai2)
    for _ in range(WINDOW // 2):
        batch(world)
    state = resume.capture(world)
    expected = [batch(world) for _ in range(WINDOW)]
    other = begun(convai2)
    resume.restore(other, state)
    assert [batch(other) for _ in range(WINDOW)] == expected


def test_who_orders_episodes_in_another_way_goes_on_to(convai2):
    given = {"datapath": str(convai2), "batchsize": SIZE, **tiny.QUIET}
    for own in ({"datatype": "train:ordered"}, {"datatype": "train:stream"}):
        opt = ParlaiParser(True, False).parse_kwargs(task="convai2:self_original", **own, **given)
        world = create_task(opt, Silent(opt))
        sort_by_length(world)
        assert not any(hasattr(row.get_agents()[0], "window") for row in world.worlds)
