"""What cannot be validated is said before training, and no metric ends a run."""

import math

import people
import pytest
import tiny
import torch
from parlai.core.loader import register_teacher
from parlai.core.metrics import AverageMetric
from parlai.core.teachers import DialogTeacher

from p2bot_parlai.agents.perplexity import Perplexity
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.metrics.significance import Example, compare
from p2bot_parlai.parlai_support.world_logs import read_world_logs

NONE = dict.fromkeys(("backbone", "n_layers", "n_heads", "embedding_size", "n_positions"))
SEQ2SEQ = {**NONE, "model": "p2bot/seq2seq", "hiddensize": 8, "embeddingsize": 8, "numlayers": 1}
OFTEN = {"validation_every_n_steps": 2, "max_train_steps": 2}


class Talk(DialogTeacher):
    """Six dialogues of one turn."""

    label = "i say so ."

    def __init__(self, opt, shared=None):
        opt["datafile"] = opt["datatype"]
        self.id = "talk"
        super().__init__(opt, shared)

    def setup_data(self, datafile):
        for number in range(6):
            yield {"text": f"tell me {number}", "labels": self.label}, True


@register_teacher("rarely_measured")
class RarelyMeasured(Talk):
    """A task of a user's, with a metric of its own in its last example."""

    def custom_evaluation(self, teacher_action, labels, model_response):
        if "5" in teacher_action["text"]:
            self.metrics.add("rare", AverageMetric(1))


@register_teacher("not_validated")
class NotValidated(Talk):
    def setup_data(self, datafile):
        return super().setup_data(datafile) if "train" in datafile else iter(())


@register_teacher("without_spaces")
class WithoutSpaces(Talk):
    label = "qxzj" * 100


# --------------------------------------------------------------------------- before training
@pytest.mark.parametrize(
    "given, metric",
    [
        ({}, "nonsense"),
        ({**SEQ2SEQ, "skip_generation": True}, "f1"),
        ({**SEQ2SEQ, "rank_candidates": False}, "hits@1"),
        ({**NONE, "model": "p2bot/kv_profile_memory", "embedding_size": 8}, "ppl"),
        ({"task": "convai2:self_original,rarely_measured"}, "convai2/nonsense"),
    ],
)
def test_a_metric_that_is_not_reported_is_named_before_training(convai2, tmp_path, given, metric):
    given = {**OFTEN, "skip_generation": True, **given}
    if "kv" in given.get("model", ""):
        given.pop("skip_generation")
    with pytest.raises(P2botError, match=f"{metric} is not reported .* choose one of .*exs"):
        tiny.train(convai2, tmp_path / "model", validation_metric=metric, **given)
    assert not (tmp_path / "model").exists()


def test_the_receiver_says_so_too(tmp_path):
    data = people.write_people(tmp_path / "data")
    with pytest.raises(P2botError, match="f2 is not reported .* hits@1"):
        people.train(data, tmp_path / "model", validation_metric="f2", **OFTEN)


def test_data_that_validation_cannot_use_are_named_before_training(tmp_path, monkeypatch):
    data = people.write_people(tmp_path / "data")
    monkeypatch.setattr("p2bot_parlai.agents.receiver.ReceiverAgent.train_step", None)
    with pytest.raises(P2botError, match="fewer|leaves"):
        given = {"evaltask": "p2bot:persona_perception", "distractors": 40}
        people.train(data, tmp_path / "model", **given, **OFTEN)


def test_nothing_to_validate_on_is_said(convai2, tmp_path):
    given = {"task": "rarely_measured", "evaltask": "not_validated", "skip_generation": True}
    with pytest.raises(P2botError, match="nothing to validate on"):
        tiny.train(convai2, tmp_path / "model", **given, **OFTEN)


# ------------------------------------------------------------------------- what works, works
def test_metrics_of_a_task_of_the_users_and_of_one_of_several(convai2, tmp_path):
    """The look at validation changes nothing: the weights are the same, however long it was."""
    given = {"task": "rarely_measured,convai2:self_original", "batchsize": 2, "seed": 1, **OFTEN}
    given |= {"skip_generation": True, "validation_max_exs": -1}
    weights = []
    for metric in ("ppl", "talk/rare"):
        path = tmp_path / metric.replace("/", "_")
        tiny.train(convai2, path, validation_metric=metric, **given)
        weights.append(read_model_file(path)["model"])
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name]), name


# -------------------------------------------------------------------------- infinite metrics
def test_perplexity():
    assert (Perplexity(3.0, 2) + Perplexity(1.0, 2)).value() == pytest.approx(math.e)
    assert (Perplexity(3000.0, 2) + None).value() == math.inf


@pytest.mark.parametrize("model", [{}, SEQ2SEQ])
def test_text_without_spaces_does_not_end_a_run(convai2, tmp_path, model):
    given = {"task": "rarely_measured", "evaltask": "without_spaces", **OFTEN, **model}
    given |= {"skip_generation": True, "validation_metric": "ppl_word", "label_truncate": 600}
    if not model:
        given["n_positions"] = 800
    tiny.train(convai2, tmp_path / "model", **given, learningrate=1e-9)
    log = tmp_path / "log.jsonl"
    report = tiny.evaluate(
        convai2, tmp_path / "model", task="without_spaces", world_logs=str(log),
        skip_generation=True, label_truncate=600,
    )  # fmt: skip
    assert report["ppl_word"] == math.inf and 100 < report["ppl"] < 1000
    if not model:  # the other does not log how many words there are
        total, words = read_world_logs(str(log))[0].metrics["ppl_word"]
        assert words == 2 and total == pytest.approx(404 * math.log(report["ppl"]), rel=0.3)


def test_infinite_perplexities_are_compared_as_such():
    def example(number, loss):
        return Example(str(number), str(number), "t", {"ppl_word": (loss, 2.0)}, {})

    one = [example(i, 3000.0 + i) for i in range(4)]
    other = [example(i, 2.0 + i) for i in range(4)]
    (found,) = compare(list(zip(one, other, strict=True)), ["ppl_word"], seed=1, resamples=99)
    assert found.first == math.inf and found.second == pytest.approx(math.exp(1.75))
    assert math.isnan(found.p) and math.isnan(found.low)
