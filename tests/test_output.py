"""What commands print of a model of ours: chats nothing else, an evaluation one report."""

import json

import pytest
import tiny
from parlai.core.metrics import AverageMetric, SumMetric
from parlai.scripts.eval_model import EvalModel
from parlai.scripts.interactive import Interactive
from parlai.scripts.self_chat import SelfChat
from parlai.utils import logging
from terminal import type_in

from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support.reports import table
from p2bot_parlai.parlai_support.world_logs import read_world_logs

REPORT = {
    "clen": 40.0,
    "exs": SumMetric(8),
    "f1": AverageMetric(3, 8),
    "hits@1": 0.25,
    "loss": 2.0,
    "ppl": 7.389,
    "zeal": 0.5,
}


# ---------------------------------------------------------------------- the table
def test_the_main_metrics_come_first_and_the_machine_not_at_all():
    names, values = table(REPORT, 100).splitlines()
    assert names.split() == ["exs", "hits@1", "ppl", "f1", "zeal"]
    assert values.split() == ["8", ".2500", "7.389", ".3750", ".5000"]
    every = table(REPORT, 100, everything=True).splitlines()[0]
    assert every.split() == ["exs", "hits@1", "ppl", "f1", "clen", "loss", "zeal"]


def test_a_table_is_as_wide_as_it_may_be():
    lines = table(REPORT, 24).splitlines()
    assert max(map(len, lines)) <= 24
    assert " ".join(lines[::2]).split() == ["exs", "hits@1", "ppl", "f1", "zeal"]


def test_a_row_for_each_task_the_mean_first():
    report = {"b/f1": 0.5, "a/f1": 0.25, "f1": 0.375, "exs": SumMetric(9), "a/exs": SumMetric(5)}
    names, *rows = table(report, 100).splitlines()
    assert names.split() == ["exs", "f1"]
    assert [row.split() for row in rows] == [
        ["all", "9", ".3750"],
        ["a", "5", ".2500"],
        ["b", ".5000"],
    ]


# ------------------------------------------------------------------- the commands
@pytest.fixture
def logged(monkeypatch):
    """What ParlAI's log says from now on; its level is put back."""
    found, level = [], logging.logger.level
    # Python remembers what an earlier --loglevel disabled
    monkeypatch.setattr(
        logging.logger, "isEnabledFor", lambda wanted: wanted >= logging.logger.level
    )
    handler = logging.logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logging.logger.addHandler(handler)
    yield found
    logging.logger.removeHandler(handler)
    logging.set_log_level(level)


LOUD = {"loglevel": "info"}


def test_a_chat_prints_personas_and_keys_alone(capsys, monkeypatch, logged, tiny_model):
    type_in(monkeypatch, "hello")
    Interactive.main(model_file=tiny_model, persona="i sail.", label_truncate=4, **LOUD)
    printed = capsys.readouterr().out
    assert "i sail." in printed and "[EXIT] to quit" in printed
    assert not [line for line in logged if "Opt" in line or "    model:" in line]
    assert logged == []


def test_verbose_brings_the_options_back(monkeypatch, logged, tiny_model):
    type_in(monkeypatch)
    Interactive.main(model_file=tiny_model, verbose=True, **LOUD)
    assert any("model_file:" in line for line in logged)


def test_self_chat_says_where_it_writes(tmp_path, logged, tiny_model):
    personas = {"persona": "i sail.", "partner_persona": "i cook."}
    out = str(tmp_path / "chats")
    SelfChat.main(model_file=tiny_model, outfile=out, selfchat_max_turns=2, **personas, **LOUD)
    assert any(out in line for line in logged)
    assert not any("Total parameters" in line or "model_file" in line for line in logged)


def test_a_model_of_the_zoo_is_called_so(logged, tmp_path):
    task = {"task": "p2bot:sketch", "sketch_dialogues": 90, "num_examples": 1}
    zoo = "zoo:p2bot/sketch/model"
    EvalModel.main(model_file=zoo, datapath=str(tmp_path), skip_generation=True, **task, **LOUD)
    assert any(line.endswith(f"params from {zoo}") for line in logged)
    assert not any(f"{tmp_path}/models" in line for line in logged)


def test_chats_with_the_agents_of_others_print_what_they_did(monkeypatch, logged):
    type_in(monkeypatch)
    Interactive.main(model="repeat_label", **LOUD)
    assert any("model: repeat_label" in line for line in logged)


def test_a_report_is_printed_once_and_written_whole(capsys, tmp_path, logged, convai2, tiny_model):
    path = tmp_path / "report.json"
    given = {"task": "convai2:self_original", "skip_generation": True, "num_examples": 5}
    EvalModel.main(
        model_file=tiny_model, datapath=convai2, report_filename=str(path), **given, **LOUD
    )
    printed = capsys.readouterr().out
    assert printed.count("hits@1") == 1 and "ctpb" not in printed
    assert not any("hits@1" in line or "    model:" in line for line in logged)
    assert {"hits@1", "ctpb", "llen"} <= json.loads(path.read_text())["report"].keys()


# ------------------------------------------------------------- so many examples, no more
@pytest.mark.parametrize("task", ["convai2:self_original", "convai2:none,convai2:self_original"])
def test_num_examples_is_exact_at_every_batch_size(convai2, tiny_model, task):
    """Of each task."""
    for size in (1, 4, 8):
        given = {"task": task, "num_examples": 6, "skip_generation": True, "batchsize": size}
        assert tiny.evaluate(convai2, tiny_model, **given)["exs"] == 6 * len(task.split(","))


def test_more_examples_than_there_are(convai2, tiny_model):
    given = {"num_examples": 1000, "skip_generation": True, "batchsize": 3}
    assert tiny.evaluate(convai2, tiny_model, **given)["exs"] == 32


def test_dialogues_of_an_evaluation(convai2, tiny_model, tmp_path):
    """The parts of the fold add up to it, and no dialogue is in two of them."""
    given, found = {"skip_generation": True, "batchsize": 3}, {}
    for part in (None, "1-2", "3-3", "4-500"):
        logs = tmp_path / f"{part}.jsonl"
        wanted = {"eval_dialogues": part} if part else {}
        tiny.evaluate(convai2, tiny_model, world_logs=str(logs), **wanted, **given)
        found[part] = sorted(example.name for example in read_world_logs(str(logs)))
    assert len(found["3-3"]) == 4 and len(found["1-2"]) == 8
    whole = found.pop(None)
    assert sorted(name for part in found.values() for name in part) == whole


@pytest.mark.parametrize("part", ["0-3", "5", "4-2", "9999-10000", "a-b"])
def test_dialogues_that_are_not_there(convai2, tiny_model, part):
    with pytest.raises(UsageError, match=f"--eval-dialogues {part}: "):
        tiny.evaluate(convai2, tiny_model, eval_dialogues=part)


def test_a_stream_has_no_numbers(convai2, tiny_model):
    with pytest.raises(UsageError, match="--eval-dialogues 3-3: .* :stream"):
        tiny.evaluate(convai2, tiny_model, datatype="valid:stream", eval_dialogues="3-3")


def test_time_ends_an_evaluation_not_a_training(convai2, tiny_model, tmp_path):
    given = {"skip_generation": True, "batchsize": 2}
    assert tiny.evaluate(convai2, tiny_model, max_eval_time=1000, **given)["exs"] == 32
    assert tiny.evaluate(convai2, tiny_model, max_eval_time=1e-9, **given).get("exs", 0) < 32
    few = {"max_train_steps": 2, "max_eval_time": 100, "validation_every_n_steps": 1}
    valid, _ = tiny.train(convai2, tmp_path / "model", eval_dialogues="1-1", **few)
    assert 0 < float(valid["exs"]) < 8


def test_num_examples_of_self_play(convai2, tiny_model, playing):
    given = {k: playing[k] for k in ("task", "receiver", "user_inference", "label_truncate")}
    report = tiny.evaluate(convai2, tiny_model, num_examples=3, batchsize=2, **given)
    assert report["exs"] == 3
    given |= {"eval_dialogues": "1-3", "selfplay_dialogues": 5}  # as many, drawn from three
    assert tiny.evaluate(convai2, tiny_model, **given)["exs"] == 5
