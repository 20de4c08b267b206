"""``parlai perception_table``: three models on two kinds of personas, or on labelled pairs."""

import json

import people
import pytest

from p2bot_parlai.errors import P2botError
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
    report, spans = table["Receiver"]["convai2:self_revised"]
    assert float(report["hits@1"]) == revised["hits@1"]
    assert spans["hits@1"][0] <= revised["hits@1"] <= spans["hits@1"][1]
    assert printed[0].split() == ["Model", "Task", "Hits@1", "MRR", "Hits@1", "of", "8"]
    assert printed[7].split()[:2] == ["Receiver", "convai2:self_revised"]
    low, high = (f"{100 * bound:.1f}" for bound in spans["hits@1"])
    assert f"{100 * revised['hits@1']:.1f} ({low} to {high})" in printed[7]
    written = json.loads((tmp_path / "table.json").read_text())
    assert written["Receiver"]["convai2:self_revised"]["hits@1"] == revised["hits@1"]
    assert list(written) == list(table)
    for row in table:
        logs = read_world_logs(str(tmp_path / f"logs_{row}_convai2:self_revised.jsonl"))
        for name in ("hits@1", "mrr"):
            values = [example.metrics[name][0] for example in logs]
            found = written[row]["convai2:self_revised"][name]
            assert sum(values) / len(values) == pytest.approx(found)


PAIRS = """label,utterance,persona_sentence
positive,my boat is blue,i own a boat.
positive,"lemons , lemons",i grow lemons.
negative,i am late,i own a goat.
positive,my boat is old,I own a boat
positive,good night,i sell drums.
"""


def test_labelled_pairs_by_hand(tmp_path, capsys):
    """
    Three sentences, as one is there in two wordings. TF-IDF finds "boat" twice, "lemons", and
    nothing of "good night", where the three share the mean rank 2.
    """
    file = tmp_path / "pairs.csv"
    file.write_text(PAIRS, encoding="utf-8")
    table = PerceptionTable.main(labelled_pairs=str(file), distractors=2, loglevel="error")
    assert list(table) == ["Random", "IR"]
    report, spans = table["IR"]["pairs.csv"]
    assert report["exs"] == 4 and report["mrr"].value() == pytest.approx((3 + 1 / 2) / 4)
    assert report["hits@1_of_3"].value() in (0.75, 1)  # a tie is up to the order of the list
    assert spans["mrr"][0] < report["mrr"].value() <= spans["mrr"][1]
    header = capsys.readouterr().out.strip("\n").split("\n")[0]
    assert header.split() == ["Model", "Task", "Hits@1", "MRR", "Hits@1", "of", "3"]
    with pytest.raises(P2botError, match="--labelled-pairs nothing.csv: there is no such"):
        PerceptionTable.main(labelled_pairs="nothing.csv", loglevel="error")


def test_the_encoder_as_it_comes(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text(PAIRS, encoding="utf-8")
    given = {"labelled_pairs": str(file), "distractors": 2, "loglevel": "error"}
    encoder = people.save_encoder(tmp_path / "base")
    table = PerceptionTable.main(model="p2bot/receiver", encoder=encoder, **given)
    assert 0 < table["Receiver"]["pairs.csv"][0]["mrr"].value() <= 1


def test_the_true_cell_where_the_task_knows_it_else_a_dash():
    reports = {"a": {"hits@1": 0.5, "mrr": 0.25, "true_cell": 0.75}, "b": {"hits@1": 0.5}}
    table = {"IR": {task: (report, {}) for task, report in reports.items()}}
    lines = format_table(table).split("\n")
    assert lines[0].split()[-2:] == ["True", "cell"]
    assert lines[2].split() == ["IR", "a", "50.0", "25.0", "75.0"]
    assert lines[3].split() == ["IR", "b", "50.0", "-", "-"]
