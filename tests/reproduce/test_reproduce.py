"""``parlai reproduce`` as it is typed."""

import json
import sys

import pytest
from parlai.core.script import superscript_main

from p2bot_parlai import plugin
from p2bot_parlai.errors import UsageError
from p2bot_parlai.scripts.reproduce import Reproduce

plugin.register()


@pytest.mark.parametrize(
    "given, named",
    [
        (
            {"preset": "skech"},
            "--preset skech: choose from demo, demo_convai2, sketch, smollm2, smollm2_zoo, paper",
        ),
        ({"table": "1,2"}, "--table 2"),
        ({"seeds": "1,x"}, "--seeds 1,x"),
        ({"scale": 0.0}, "--scale 0.0"),
        ({"examples": 0}, "--examples 0"),
        ({"minutes": 0.0}, "--minutes 0.0"),
        ({"minutes": 5.0, "scale": 0.5}, "--minutes and --scale"),
    ],
)
def test_what_cannot_be_meant_is_named(given, named):
    with pytest.raises(UsageError, match=named):
        Reproduce.main(**({"preset": "sketch"} | given))


def test_a_dry_run_prints_the_commands_and_writes_nothing(tmp_path, capsys, monkeypatch):
    line = "reproduce --preset smollm2 --table 5,5 --seeds 1,2,1 --dry-run true"
    folder = ["--outfile-folder", str(tmp_path / "out"), "-dp", str(tmp_path / "data")]
    monkeypatch.setattr(sys, "argv", ["parlai", *line.split(), *folder])
    superscript_main([*line.split(), *folder])
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("parlai ")]
    assert [x.split()[1] for x in lines] == [
        *("train_model", "perception_table", "relevance_map", "relevance_map"),
        *("train_model", "perception_table"),
    ]
    assert "-o p2bot/smollm2_receiver" in lines[0] and "--seed 2" in lines[4]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_table_from_nothing(tmp_path, capsys):
    """A Receiver of a few updates, its evaluation and the report; then nothing is run again."""
    given = {
        "preset": "sketch",
        "table": "5",
        "seeds": "1",
        "scale": 0.002,
        "examples": 20,
        "datapath": str(tmp_path / "data"),
        "outfile_folder": str(tmp_path / "out"),
    }
    original, _ = Reproduce.main(**given)
    (report,) = (tmp_path / "out/steps").glob("perception.*/report.json")
    found = json.loads(report.read_text())["Receiver"]["p2bot:sketch:self_original"]["hits@1"]
    assert original.rows[2][1] == f"{100 * found:.2f}"
    assert "20" in (tmp_path / "out/report.md").read_text(encoding="utf-8")
    capsys.readouterr()
    again, _ = Reproduce.main(**given)
    assert again == original
    assert capsys.readouterr().out.count("done before") == 4
