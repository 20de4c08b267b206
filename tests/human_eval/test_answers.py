"""What systems answer to drawn contexts: models, files, the human."""

import json
import re

import pytest
import studies
import tiny
from parlai.core.agents import Agent
from parlai.core.params import ParlaiParser

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval.answers import ask, collect, from_file, load, parse_systems
from p2bot_parlai.tools.human_eval.sampling import draw_samples, named_turns

TASK = "convai2:self_original"


@pytest.fixture(scope="module")
def opt(convai2):
    given = {"task": TASK, "datapath": convai2, "datatype": "valid", "batchsize": 3}
    return ParlaiParser(True, False).parse_kwargs(**given, **tiny.QUIET)


@pytest.fixture(scope="module")
def samples(opt):
    return draw_samples(opt, 12, seed=1)


@pytest.fixture(scope="module")
def model(tiny_model, opt):
    return load(tiny_model, opt)


@pytest.fixture(scope="module")
def answers(model, samples):
    return ask(model, samples, batchsize=5, name="tiny")


@pytest.fixture(scope="module")
def world_logs(convai2, tiny_model, tmp_path_factory):
    """What `parlai eval_model --world-logs` wrote of the whole fold."""
    path = str(tmp_path_factory.mktemp("logs") / "logs.jsonl")
    tiny.evaluate(convai2, tiny_model, world_logs=path, skip_generation=False)
    return path


# ------------------------------------------------------------------------- contexts
def test_contexts_are_those_of_the_task(opt, samples):
    assert len({id(sample.messages[-1]) for sample in samples}) == 12
    for sample in samples:
        dialogue = sample.dialogue()
        assert len(dialogue.persona) == 4 and dialogue.persona[0].startswith("i eat")
        assert [own for own, _ in dialogue.turns[::2]] == [False] * len(sample.messages)
        said = [message["eval_labels"][0] for message in sample.messages]
        assert [text for own, text in dialogue.turns if own] == said[:-1]
        assert sample.label == said[-1]
    assert len({len(sample.messages) for sample in samples}) > 2
    assert draw_samples(opt, 12, seed=1)[0].messages == samples[0].messages
    assert draw_samples(opt, 12, seed=2)[0].messages != samples[0].messages
    both = draw_samples({**opt, "task": f"{TASK},convai2:self_revised"}, 64, 0)
    assert {s.task for s in both} == {TASK, "convai2:self_revised"}


@pytest.mark.parametrize(
    "changes, number, message",
    [
        ({"task": None}, 1, "name the task to draw contexts from"),
        ({}, 0, "--number 0 is not at least 1"),
        ({}, 33, "--number 33: convai2:self_original has 32 contexts"),
        ({"task": "convai2:none"}, 2, "shows no persona"),
    ],
)
def test_what_cannot_be_drawn(opt, changes, number, message):
    with pytest.raises(P2botError, match=message):
        draw_samples({**opt, **changes}, number, 0)


# --------------------------------------------------------------------------- models
def test_a_model_answers_as_in_its_evaluation(model, answers, samples, world_logs):
    assert from_file(world_logs, samples) == answers
    assert all(answers) and len(set(answers)) > 1
    assert ask(model, samples, batchsize=1, name="tiny") == answers


class Echo(Agent):
    """Says what it heard last; takes no batches."""

    def act(self):
        return {"text": self.observation["text"]}


def test_an_agent_that_takes_no_batches(samples, opt):
    assert ask(Echo(opt), samples[:3], 2, "echo")[0].endswith(samples[0].dialogue().turns[-1][1])


def test_a_ranker_of_parlais_own_chooses_among_the_candidates(convai2, opt, samples, tmp_path):
    path = str(tmp_path / "ir")
    (tmp_path / "ir").write_text("")
    options = {"model": "random_candidate", "model_file": path, "datapath": convai2}
    options |= {"override": {}, "label_candidates_file": None}
    (tmp_path / "ir.opt").write_text(json.dumps(options))
    found = ask(load(path, opt), samples, 4, "random")
    for sample, answer in zip(samples, found, strict=True):
        assert answer in sample.messages[-1]["label_candidates"]


# ---------------------------------------------------------------------------- files
def write_answers(path, samples, **changes):
    lines = []
    for number, sample in enumerate(samples):
        dialogue = sample.dialogue()
        line = {"persona": dialogue.persona, "context": named_turns(dialogue)}
        lines.append(json.dumps(line | {"response": f"answer\n {number}"} | changes))
    path.write_text("\n".join(lines) + "\n\n")
    return str(path)


def test_answers_from_a_file_in_any_order(samples, tmp_path):
    path = write_answers(tmp_path / "answers.jsonl", samples)
    assert from_file(path, samples[::-1]) == [f"answer {n}" for n in range(12)][::-1]


def test_missing_answers(samples, tmp_path):
    path = write_answers(tmp_path / "answers.jsonl", samples[:11])
    last = samples[11].dialogue().turns[-1][1]
    with pytest.raises(P2botError, match=f"answers 11 of the 12 contexts.*{re.escape(last)}"):
        from_file(path, samples)


# -------------------------------------------------------------------------- systems
def test_everybody_answers_the_same_contexts(opt, samples, answers, tiny_model, tmp_path):
    path = write_answers(tmp_path / "answers.jsonl", samples)
    systems = parse_systems([f"P²Bot={tiny_model}", f"file = {path}"])
    found = collect(systems, samples, opt, human=True, seed=0)
    assert list(found) == ["human", "P²Bot", "file"]
    assert found["human"] == [sample.label for sample in samples]
    assert found["P²Bot"] == answers and found["file"][3] == "answer 3"
    assert list(collect({"file": path}, samples, opt, human=False, seed=0)) == ["file"]


@pytest.mark.parametrize(
    "given, message",
    [
        (["model"], "write NAME=MODEL"),
        (["=model"], "write NAME=MODEL"),
        (["a=b", "a=c"], "names a twice"),
        (["Human=b"], "the task's own answer"),
    ],
)
def test_systems_that_are_none(given, message):
    with pytest.raises(P2botError, match=message):
        parse_systems(given)


def test_who_cannot_answer(opt, samples):
    with pytest.raises(P2botError, match="there are no systems"):
        collect({}, samples, opt, human=False, seed=0)
    with pytest.raises(P2botError, match="--systems a=/none: there is no such file"):
        collect({"a": "/none"}, samples, opt, human=True, seed=0)
    unlabelled = studies.Sample("task", samples[0].messages, "")
    with pytest.raises(P2botError, match="--human false"):
        collect({}, [unlabelled], opt, human=True, seed=0)
