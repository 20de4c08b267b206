"""parlai compare: of models and of what was written of them."""

import json

import pytest
import tiny

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.scripts.compare import Compare


@pytest.fixture(scope="module")
def other_model(tmp_path_factory, convai2):
    path = str(tmp_path_factory.mktemp("other") / "model")
    tiny.train(convai2, path, batchsize=8, max_train_steps=1, learningrate=5e-3, seed=2)
    return path


@pytest.fixture(scope="module")
def dumps(tmp_path_factory, convai2, tiny_model, other_model):
    """(dump, report) of either model, evaluated with different batch sizes."""
    found = []
    for name, model, size in (("a", tiny_model, 4), ("b", other_model, 3)):
        path = str(tmp_path_factory.mktemp("dumps") / f"{name}.jsonl")
        report = tiny.evaluate(
            convai2, model, world_logs=path, batchsize=size, persona_metrics=True
        )
        found.append((path, report))
    return found


def compared(*both, **options):
    """``parlai compare``, as on the command line."""
    given = {"loglevel": "error", "resamples": 199, **options}
    flags = [str(part) for k, v in given.items() for part in (f"--{k.replace('_', '-')}", v)]
    return Compare.main(*map(str, both), *flags)


def test_both_columns_are_the_reports(dumps, capsys):
    (a, first), (b, second) = dumps
    (rows,) = compared(a, b).values()
    names = {row.metric for row in rows}
    assert {"hits@1", "ppl", "ppl_word", "f1", "bleu-4", "distinct-1", "persona_f1"} <= names
    for row in rows:
        assert row.first == pytest.approx(first[row.metric], rel=1e-4, abs=1e-9), row.metric
        assert row.second == pytest.approx(second[row.metric], rel=1e-4, abs=1e-9), row.metric
        assert row.low <= row.difference <= row.high
        assert 0 < row.p <= 1
    printed = capsys.readouterr().out
    assert "8 dialogues" in printed and f"A: {a}" in printed
    line = next(line for line in printed.splitlines() if line.startswith("ppl "))
    ppl = next(row for row in rows if row.metric == "ppl")
    assert ("*" in line) == (ppl.p < 0.05) and f"{ppl.first:.4g}" in line


def test_self_chat_is_compared(convai2, tiny_model, other_model, tmp_path):
    """Each against the same openings; what the report does not average is left out."""
    play = {"task": "p2bot:selfplay", "selfplay_dialogues": 6, "user_inference": "multinomial"}
    play |= {"lambda_persona": 0.0, "label_truncate": 8}
    logs, reports = [str(tmp_path / f"{name}.jsonl") for name in "ab"], []
    for log, model, size in zip(logs, (tiny_model, other_model), (4, 3), strict=True):
        reports.append(tiny.evaluate(convai2, model, world_logs=log, batchsize=size, **play))
    (rows,) = compared(*logs, compare_metrics="all").values()
    names = {row.metric for row in rows}
    assert {"words", "said_before", "ended", "style_turn3", "kl"} <= names
    assert "distinct_2" not in names
    for row in rows:
        assert row.units == 6
        values = [float(report[row.metric]) for report in reports]
        assert [row.first, row.second] == pytest.approx(values, rel=1e-4, abs=1e-6), row.metric


def test_models_are_evaluated(dumps, convai2, tiny_model, other_model, tmp_path):
    (a, _), (b, _) = dumps
    report = str(tmp_path / "report.json")
    (found,) = compared(
        tiny_model, other_model, task="convai2:self_original", datapath=convai2, batchsize=8,
        persona_metrics=True, dump_folder=str(tmp_path), report_filename=report,
    ).values()  # fmt: skip
    (expected,) = compared(a, b).values()
    for row, other in zip(found, expected, strict=True):
        assert row.metric == other.metric
        assert row.difference == pytest.approx(other.difference, rel=1e-3, abs=1e-6)
    assert len(read_world_logs(str(tmp_path / "A.jsonl"))) == 32
    with open(report, encoding="utf-8") as file:
        (rows,) = json.load(file)["tasks"].values()
    assert [row["metric"] for row in rows] == [row.metric for row in found]


def test_two_tasks_are_two_tables(convai2, tiny_model, other_model):
    given = {"task": "convai2:self_original,convai2:none", "datapath": convai2}
    found = compared(tiny_model, other_model, compare_metrics="ppl", **given)
    assert len(found) == 2 and all(len(rows) == 1 for rows in found.values())


def test_a_dump_is_compared_with_a_model(dumps, convai2, other_model):
    (a, _), _ = dumps
    given = {"task": "convai2:self_original", "datapath": convai2, "compare_metrics": "ppl"}
    ((row,),) = compared(a, other_model, **given).values()
    ((expected,),) = compared(*(path for path, _ in dumps), compare_metrics="ppl").values()
    assert row.difference == pytest.approx(expected.difference, rel=1e-3)


def test_the_same_dialogue_twice_is_two(dumps, tmp_path):
    (a, _), _ = dumps
    with open(a, encoding="utf-8") as file:
        text = file.read()
    twice = tmp_path / "twice.jsonl"
    twice.write_text(text + text, encoding="utf-8")
    examples = read_world_logs(str(twice))
    assert len({example.name for example in examples}) == 64
    assert len({example.dialogue for example in examples}) == 16


# ------------------------------------------------------------------------------ bad input
def test_bad_files_are_named(dumps, tmp_path):
    (a, _), _ = dumps
    bad = tmp_path / "bad.jsonl"
    for text, named in (('{"dialog": 3}\n', "line 1"), ("{\n", "line 1"), ("", "no examples")):
        bad.write_text(text, encoding="utf-8")
        with pytest.raises(P2botError, match=f"bad.jsonl.*{named}"):
            compared(a, str(bad))
    with pytest.raises(P2botError, match="no model and no dump"):
        compared(a, str(tmp_path / "nothing"))


def test_impossible_options_are_named(dumps, convai2, tiny_model, tmp_path):
    (a, _), (b, _) = dumps
    with pytest.raises(P2botError, match="--resamples 5"):
        compared(a, b, resamples=5)
    with pytest.raises(P2botError, match="-t TASK"):
        compared(a, tiny_model, datapath=convai2)
    with pytest.raises(P2botError, match="--compare-metrics f2: both have .*f1"):
        compared(a, b, compare_metrics="f2")
    other = str(tmp_path / "none.jsonl")
    tiny.evaluate(convai2, tiny_model, task="convai2:none", world_logs=other)
    with pytest.raises(P2botError, match="no example in common"):
        compared(a, other)
