"""``parlai perception_table``: three models, two kinds of personas, one table."""

import json

import people

from p2bot_parlai.scripts.perception_table import PerceptionTable, format_table


def test_table_of_a_trained_receiver(tmp_path, capsys):
    folder = people.write_people(tmp_path / "data")
    people.train(folder, tmp_path / "model")
    given = {name: people.RECEIVER[name] for name in ("distractors", "hard_candidates")}
    given["report_filename"] = str(tmp_path / "table.json")
    table = PerceptionTable.main(
        model_file=str(tmp_path / "model"), datapath=folder, loglevel="error", **given
    )
    assert list(table) == ["Random", "IR", "Receiver"]
    printed = capsys.readouterr().out.strip("\n").split("\n")[-5:]
    revised = people.evaluate(folder, tmp_path / "model", task=f"{people.TASK}:self_revised")
    assert float(table["Receiver"]["convai2:self_revised"]["hits@1"]) == revised["hits@1"]
    assert printed[0].split() == ["convai2:self_original", "convai2:self_revised"]
    assert printed[1].split() == ["Model"] + ["Hits@1", "MRR", "Hits@1", "of", "8"] * 2
    assert printed[4].split()[0] == "Receiver"
    assert f"{100 * revised['hits@1']:.1f}" in printed[4]
    written = json.loads((tmp_path / "table.json").read_text())
    assert written["Receiver"]["convai2:self_revised"]["hits@1"] == revised["hits@1"]
    assert list(written) == list(table)


def test_what_could_not_be_had_is_a_dash():
    reports = {"a": {"hits@1": 0.5, "mrr": 0.25}}
    assert format_table({"IR": reports}, 100).split("\n")[2].split() == ["IR", "50.0", "25.0", "-"]


def test_the_true_cell_where_the_task_knows_it():
    table = {"IR": {"a": {"hits@1": 0.5, "true_cell": 0.75}, "b": {"hits@1": 0.5}}}
    lines = format_table(table, 100).split("\n")
    assert lines[1].split()[-2:] == ["True", "cell"]
    assert lines[2].split() == ["IR", "50.0", "-", "-", "75.0", "50.0", "-", "-", "-"]
