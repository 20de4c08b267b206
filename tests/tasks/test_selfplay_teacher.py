"""How self-play dialogues begin: drawn by number, of two people, really said."""

import pytest
import tiny
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.personas import group_by_person
from p2bot_parlai.parlai_support.dialogues import SpokenDialogue
from p2bot_parlai.tasks.selfplay.agents import Openings, SelfplayTeacher, source_task

# two variants of one person among them
PEOPLE = [["i am 1.", "i do 1."], ["i am 1.", "i do 1.", "i eat 1."], ["i am 2."], ["i am 3."]]
HEARD = [SpokenDialogue([f"answer {i}"], p, f"question {i}") for i, p in enumerate(PEOPLE)]
BEGUN = [SpokenDialogue([f"opening {i}", "more"], p) for i, p in enumerate(PEOPLE)]


def teacher(datapath, rollouts_per_opening=1, part=None, **changes) -> SelfplayTeacher:
    given = {"task": "p2bot:selfplay", "datapath": datapath, "datatype": "train", **tiny.QUIET}
    given |= {"selfplay_dialogues": 6, **changes}
    opt = ParlaiParser(True, False).parse_kwargs(**given)
    opt["rollouts_per_opening"] = rollouts_per_opening  # an option of the agent
    opt["eval_dialogues"] = part  # of the world
    return SelfplayTeacher(opt)


def openings(teacher, count):
    return [teacher.act()["opening"] for _ in range(count)]


def test_two_different_people_and_real_words():
    drawn = [Openings(BEGUN + HEARD, "made up", 1).draw(i) for i in range(60)]
    for opening in drawn:
        user, agent = group_by_person([opening.user_persona, opening.agent_persona])
        assert user != agent
        # what a speaker says first is said with its own persona
        number = int(opening.utterance.removeprefix("opening "))
        assert opening.user_persona == PEOPLE[number]
    assert {tuple(o.agent_persona) for o in drawn} == set(map(tuple, PEOPLE))


def test_where_nobody_begins_the_partner_does():
    drawn = [Openings(HEARD, "made up", 1).draw(i) for i in range(60)]
    assert {o.utterance for o in drawn} == {d.heard_first for d in HEARD}


def test_number_and_seed_decide():
    one, again, other = (Openings(BEGUN, "made up", seed) for seed in (1, 1, 2))
    assert [one.draw(i) for i in range(9)] == [again.draw(i) for i in range(9)]
    assert [one.draw(i) for i in range(9)] != [other.draw(i) for i in range(9)]


def test_an_evaluation_draws_from_its_dialogues_alone(convai2):
    given = {"datatype": "valid", "selfplay_dialogues": 30}
    found = teacher(convai2, part="2-3", **given)
    told = [dialogue.persona for dialogue in found.openings.dialogues]
    assert found.openings.dialogues == teacher(convai2, **given).openings.dialogues[1:3]
    drawn = openings(found, 30)
    assert all(o["agent_persona"] in told and o["user_persona"] in told for o in drawn)
    whole, part = (teacher(convai2, part=part).openings.dialogues for part in (None, "2-3"))
    assert len(whole) == len(part)  # training is of all


def test_messages_are_what_an_agent_hears(convai2):
    message = teacher(convai2).act()
    opening = message["opening"]
    lines = [f"your persona: {sentence}" for sentence in opening["agent_persona"]]
    assert message["text"] == "\n".join([*lines, opening["utterance"]])
    assert message["episode_done"] and message["learn"] and "labels" not in message
    assert not teacher(convai2, datatype="valid").act()["learn"]


def test_the_next_epoch_is_new_and_evaluation_ends(convai2):
    training = openings(teacher(convai2), 12)  # two epochs
    assert len({o["seed"] for o in training}) == 12
    evaluation = teacher(convai2, datatype="valid")
    openings(evaluation, 6)
    assert evaluation.act().is_padding()
    assert evaluation.num_examples() == 6


def test_rollouts_of_an_opening(convai2):
    """In a row, with seeds of their own, the first with that of a run without groups."""
    single, groups = openings(teacher(convai2), 4), teacher(convai2, rollouts_per_opening=3)
    begun = openings(groups, 12)
    assert [o for o in begun[::3]] == single
    for first in range(0, 12, 3):
        same = [{**o, "seed": None} for o in begun[first : first + 3]]
        assert same[0] == same[1] == same[2]
    assert len({o["seed"] for o in begun}) == 12
    # evaluation has each once
    given = {"datatype": "valid", "rollouts_per_opening": 3}
    assert openings(teacher(convai2, **given), 6) == openings(teacher(convai2, datatype="valid"), 6)


@pytest.mark.parametrize("rollouts", [1, 3])
def test_processes_share_the_dialogues(convai2, monkeypatch, rollouts):
    """The dialogues of an opening are all of one process."""
    whole = openings(teacher(convai2, rollouts_per_opening=rollouts), 6 * rollouts)
    module = "p2bot_parlai.tasks.selfplay.agents."
    monkeypatch.setattr(module + "is_distributed", lambda: True)
    monkeypatch.setattr(module + "num_workers", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(module + "get_rank", lambda rank=rank: rank)
        own = openings(teacher(convai2, rollouts_per_opening=rollouts), 3 * rollouts)
        parts.append([own[first : first + rollouts] for first in range(0, len(own), rollouts)])
    assert [o for pair in zip(*parts, strict=True) for group in pair for o in group] == whole
    # ParlAI adds up the epochs of all processes: in training each counts in whole ones
    assert teacher(convai2).num_examples() == 6
    assert teacher(convai2, datatype="valid").num_examples() == 3


@pytest.mark.parametrize(
    "task, source",
    [
        ("p2bot:selfplay", "convai2:self_original"),
        ("p2bot:selfplay:self_revised", "convai2:self_revised"),
        ("p2bot:selfplay:fromfile:fbformat", "fromfile:fbformat"),
    ],
)
def test_the_task_behind(task, source):
    assert source_task({"task": task}) == source


def test_what_cannot_be_played_is_refused(convai2):
    with pytest.raises(P2botError, match="--selfplay-dialogues"):
        teacher(convai2, selfplay_dialogues=0)
    with pytest.raises(P2botError, match="one person"):
        Openings(HEARD[:2], "made up", 1)
