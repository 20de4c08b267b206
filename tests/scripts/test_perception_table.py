"""``parlai perception_table``: three models, two kinds of personas, one table."""

import json

import people
import pytest

from p2bot_parlai.parlai_support.world_logs import read_world_logs
from p2bot_parlai.scripts.perception_table import PerceptionTable, format_table


def test_table_of_a_trained_receiver(tmp_path, capsys):
    folder = people.write_people(tmp_path / "data")
    people.train(folder, tmp_path / "model")
    given = {name: people.RECEIVER[name] for name in ("distractors", "hard_candidates")}
    given["report_filename"] = str(tmp_path / "table.json")
    given["world_logs"] = str(tmp_path / "logs.jsonl")
    table = PerceptionTable.main(
        model_file=str(tmp_path / "model"), datapath=folder, loglevel="error", **given
    )
    assert list(table) == ["Random", "IR", "Receiver"]
    printed = capsys.readouterr().out.strip("\n").split("\n")[-8:]
    revised = people.evaluate(folder, tmp_path / "model", task=f"{people.TASK}:self_revised")
    assert float(table["Receiver"]["convai2:self_revised"]["hits@1"]) == revised["hits@1"]
    assert printed[0].split() == ["Model", "Task", "Hits@1", "MRR", "Hits@1", "of", "8"]
    assert printed[7].split()[:2] == ["Receiver", "convai2:self_revised"]
    assert f"{100 * revised['hits@1']:.1f}" in printed[7]
    written = json.loads((tmp_path / "table.json").read_text())
    assert written["Receiver"]["convai2:self_revised"]["hits@1"] == revised["hits@1"]
    assert list(written) == list(table)
    for row in table:
        logs = read_world_logs(str(tmp_path / f"logs_{row}_convai2:self_revised.jsonl"))
        for name in ("hits@1", "mrr"):
            values = [example.metrics[name][0] for example in logs]
            found = written[row]["convai2:self_revised"][name]
            assert sum(values) / len(values) == pytest.approx(found)


def test_the_true_cell_where_the_task_knows_it_else_a_dash():
    table = {"IR": {"a": {"hits@1": 0.5, "mrr": 0.25, "true_cell": 0.75}, "b": {"hits@1": 0.5}}}
    lines = format_table(table, 100).split("\n")
    assert lines[0].split()[-2:] == ["True", "cell"]
    assert lines[2].split() == ["IR", "a", "50.0", "25.0", "-", "75.0"]
    assert lines[3].split() == ["IR", "b", "50.0", "-", "-", "-"]
