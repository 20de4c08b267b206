"""--persona-metrics in evaluation: what is reported, what is loaded, and what is written."""

import json

import pairs
import pytest
import tiny
from parlai.core.agents import create_agent_from_model_file
from parlai.core.metrics import InterDistinctMetric

from p2bot_parlai.agents import response_metrics
from p2bot_parlai.agents.words import content_words, words
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.metrics import persona_metrics as measures
from p2bot_parlai.metrics.nli import load_judge

TEXT_METRICS = {"distinct-1", "distinct-2", "response_len", "repetition", "self_repetition"}
TEXT_METRICS |= {"persona_f1"}
NLI_METRICS = {"c_score", "entails", "contradicts"}


@pytest.fixture(scope="module")
def nli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nli")
    pairs.train(pairs.write_pairs(folder / "data"), folder / "model", max_train_steps=2, seed=1)
    return str(folder / "model")


@pytest.fixture(scope="module")
def judged(convai2, tiny_model, tiny_receiver, nli, tmp_path_factory):
    """
    A report with all models, and what was written of each example. Sampled: what the tiny model
    finds likeliest is always the same.
    """
    dump = str(tmp_path_factory.mktemp("dump") / "dump.jsonl")
    report = tiny.evaluate(
        convai2, tiny_model, persona_metrics=True, receiver=tiny_receiver, nli_model=nli,
        world_logs=dump, inference="topk", topk=100, temperature=2.0,
    )  # fmt: skip
    with open(dump, encoding="utf-8") as file:
        turns = [turn for line in file for turn in json.loads(line)["dialog"]]
    return report, turns


def test_reports_are_the_means_of_the_definitions(judged, tiny_receiver, nli):
    report, turns = judged
    assert 0 < report["persona_f1"] < 1
    replies = [reply for _, reply in turns]
    texts = [reply["text"] for reply in replies]
    personas = [reply["persona"] for reply in replies]
    assert len(texts) == 32 and all(len(persona) == 4 for persona in personas)

    def mean(values):
        found = [value for value in values if value is not None]
        return pytest.approx(sum(found) / len(found), rel=1e-4)

    assert report["response_len"] == mean([len(words(t)) for t in texts])
    assert report["repetition"] == mean([measures.repetition_within(t, words) for t in texts])
    assert report["persona_f1"] == mean(
        [measures.persona_f1(t, p, content_words) for t, p in zip(texts, personas, strict=True)]
    )
    scores = load_perceiver(tiny_receiver).score(texts, personas)
    assert report["perception"] == mean(scores.tolist())
    judge = load_judge(nli)
    labels = [judge.labels([(t, s) for s in p]) for t, p in zip(texts, personas, strict=True)]
    assert [reply["nli"] for reply in replies] == labels
    assert report["c_score"] == mean(map(measures.c_score, labels))
    assert report["entails"] == mean(["positive" in row for row in labels])
    assert report["contradicts"] == mean(["negative" in row for row in labels])
    true = [question["eval_labels"][0] for question, _ in turns]
    assert report["human_persona_f1"] == mean(
        [measures.persona_f1(t, p, content_words) for t, p in zip(true, personas, strict=True)]
    )
    labels = [judge.labels([(t, s) for s in p]) for t, p in zip(true, personas, strict=True)]
    assert report["human_c_score"] == mean(map(measures.c_score, labels))
    scores = load_perceiver(tiny_receiver).score(true, personas)
    assert report["human_perception"] == mean(scores.tolist())
    total = sum((InterDistinctMetric.compute(t, 2) for t in texts[1:]),
                InterDistinctMetric.compute(texts[0], 2))  # fmt: skip
    assert report["distinct-2"] == pytest.approx(total.value())


def test_earlier_turns_are_the_speakers_own(convai2, tiny_model, tmp_path, monkeypatch):
    asked, call = {}, response_metrics.ResponseMetrics.__call__

    def watched(self, responses, personas, earlier):
        asked.update(zip(map(str, personas), earlier, strict=True))  # the last of each dialogue
        return call(self, responses, personas, earlier)

    monkeypatch.setattr(response_metrics.ResponseMetrics, "__call__", watched)
    dump = tmp_path / "dump.jsonl"
    tiny.evaluate(convai2, tiny_model, persona_metrics=True, world_logs=str(dump))
    for line in dump.read_text(encoding="utf-8").splitlines():
        turns = json.loads(line)["dialog"]
        own = [question["eval_labels"][0] for question, _ in turns]
        assert asked[str(turns[0][1]["persona"])] == own[:-1] and len(own) == 4
        first = turns[0][1]["metrics"]
        assert "self_repetition" not in first and "repetition" in first


def test_two_tasks_are_reported_apart_and_together(convai2, tiny_model):
    task = "convai2:self_original,convai2:none"
    report = tiny.evaluate(convai2, tiny_model, task=task, persona_metrics=True)
    for name in ("response_len", "repetition", "self_repetition"):
        both = [report[f"{part}/{name}"] for part in task.split(",")]
        assert report[name] == pytest.approx(sum(both) / 2), name
    # of one corpus of twice the size, not a mean of two
    assert report["distinct-1"] < min(report[f"{part}/distinct-1"] for part in task.split(","))
    # without a persona there is nothing to overlap with
    assert "convai2:self_original/persona_f1" in report
    assert "convai2:none/persona_f1" not in report
    assert "convai2:none/human_persona_f1" not in report


def test_what_is_not_asked_for_is_not_loaded(
    convai2, tiny_model, tiny_receiver, monkeypatch, tmp_path
):
    def refuse(path):
        raise AssertionError(f"{path} was loaded")

    monkeypatch.setattr(response_metrics, "load_judge", refuse)
    monkeypatch.setattr(response_metrics, "load_perceiver", refuse)
    report = tiny.evaluate(convai2, tiny_model)
    assert not (TEXT_METRICS | NLI_METRICS | {"perception"}) & report.keys()
    report = tiny.evaluate(convai2, tiny_model, persona_metrics=True)
    assert report.keys() >= TEXT_METRICS
    assert not (NLI_METRICS | {"perception"}) & report.keys()


def test_a_chat_does_not_load_the_models_of_the_training_run(convai2, tmp_path, tiny_receiver):
    path = tmp_path / "model"
    tiny.train(convai2, path, max_train_steps=1, persona_metrics=True, receiver=tiny_receiver)
    agent = create_agent_from_model_file(str(path), {"loglevel": "error"})
    assert agent.opt["persona_metrics"] and agent.response_metrics is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"persona_metrics": True, "skip_generation": True}, "--skip-generation true"),
        ({"persona_metrics": True, "nli_model": "no/file"}, "--nli-model no/file"),
        ({"persona_metrics": True, "receiver": "no/file"}, "--receiver no/file"),
        ({"nli_model": "no/file"}, "--persona-metrics true: add it"),
    ],
)
def test_what_can_not_be_is_named(convai2, tiny_model, options, named):
    with pytest.raises(P2botError, match=named):
        tiny.evaluate(convai2, tiny_model, **options)
