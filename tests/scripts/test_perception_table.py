"""``parlai perception_table``: three models, two kinds of personas, one table."""

import people

from p2bot_parlai.scripts.perception_table import PerceptionTable, format_table


def test_table_of_a_trained_receiver(tmp_path, capsys):
    folder = people.write_people(tmp_path / "data")
    people.train(folder, tmp_path / "model")
    given = {name: people.RECEIVER[name] for name in ("distractors", "hard_candidates")}
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


def test_what_could_not_be_had_is_a_dash():
    reports = {"a": {"hits@1": 0.5, "mrr": 0.25}}
    assert format_table({"IR": reports}, 100).split("\n")[2].split() == ["IR", "50.0", "25.0", "-"]
