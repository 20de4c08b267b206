"""The demo's parts: commands in lanes, the report, and what it calls learnt."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from p2bot_parlai.tools.reproduce.lanes import Job, run

BENCH = Path(__file__).parents[1] / "bench"
REPORTS = [{"train_steps": 10 * i, "loss": 5.0 - i, "nup_acc": 0.5, "true_first": 0.6, "reward": -i}
           for i in range(3)]  # fmt: skip


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCH))
    yield {name: importlib.import_module(name) for name in ("demo", "demo_report")}
    sys.path.remove(str(BENCH))


@pytest.fixture
def figures(tmp_path):
    for name in ("P2Bot-S", "no-persona", "Receiver", "P2Bot"):
        (tmp_path / f"{name}.trainstats").write_text(json.dumps({"train_reports": REPORTS}))
    good, better = (
        {"hits@1": h, "ppl": p, "f1": f, "bleu-4": b}
        for h, p, f, b in ((0.6, 3.0, 0.5, 0.1), (0.6, 3.1, 0.6, 0.2))
    )
    rows = {f"P²Bot-S, {v}": good for v in ("original", "revised")}
    rows |= {f"P²Bot, {v}": better for v in ("original", "revised")}
    rows["no persona"] = {**good, "ppl": 5.0}
    tasks = {f"p2bot:sketch:self_{v}": {"hits@1": 0.9, "mrr": 0.3} for v in ("original", "revised")}
    turn = {
        "user": "hi <b>",
        "agent": "hello",
        "rewards": {"style": -2.0},
        "weighted": {"style": -0.8},
    }
    dialogue = {
        "user_persona": ["i swim ."],
        "agent_persona": ["i sing ."],
        "turns": [{**turn, "reward": -0.8}],
    }
    return {
        "transmitter": rows,
        "receiver": {"Random": tasks, "IR": tasks, "Receiver": tasks},
        "dialogues": [dialogue, dialogue],
        "relevance": '<?xml version="1.0"?>\n<svg id="map"></svg>',
        "folder": tmp_path,
    }


def test_the_report_holds_everything(bench, figures, tmp_path):
    bench["demo_report"].write(tmp_path / "report.html", figures, ["parlai x"], 3.2)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4 and "<?xml" not in page
    for text in ("P²Bot, revised", "60.00", "hi &lt;b&gt;", "parlai x", "3.2 minutes"):
        assert text in page
    printed = bench["demo_report"].as_text(figures)
    assert "P²Bot-S, original" in printed and "agent: hello" in printed


def test_what_was_not_learnt_is_said(bench, figures, capsys):
    verdict = bench["demo"].verdict
    assert verdict(figures) == 0
    assert "bettered F1 and BLEU" in capsys.readouterr().out
    figures["transmitter"]["P²Bot, revised"] = figures["transmitter"]["P²Bot-S, revised"]
    assert verdict(figures) == 0
    printed = capsys.readouterr().out
    assert "did not better f1 on revised" in printed and "Personas" not in printed
    figures["transmitter"]["no persona"]["ppl"] = 2.0
    assert verdict(figures) == 0
    assert "Personas have not helped" in capsys.readouterr().out
    figures["receiver"]["Receiver"]["p2bot:sketch:self_revised"]["hits@1"] = 0.04
    assert verdict(figures) == 1
    printed = capsys.readouterr().out
    assert "the Receiver is not well over chance" in printed


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_lanes_run_their_jobs_in_order(tmp_path):
    say = "print('training 50% done, 3 left')"
    mark = f"open({str(tmp_path / 'mark')!r}, 'a').write"
    lanes = [
        [Job("a", python(f"{say}; {mark}('a')")), Job("b", python(f"{mark}('b')"))],
        [Job("c", python(say))],
    ]
    run(tmp_path, lanes)
    assert (tmp_path / "mark").read_text() == "ab"
    assert "50%" in (tmp_path / "c.log").read_text()


def test_a_job_that_fails_ends_the_others_and_is_named(tmp_path):
    lanes = [[Job("bad", python("raise SystemExit('no such thing')"))],
             [Job("long", python("import time; time.sleep(600)"))]]  # fmt: skip
    with pytest.raises(SystemExit, match="failed: bad(.|\n)*no such thing"):
        run(tmp_path, lanes)


def test_help_and_a_typo():
    for flag, code in (("--help", 0), ("--nothing", 2)):
        done = subprocess.run(
            [sys.executable, BENCH / "demo.py", flag], capture_output=True, text=True
        )
        assert done.returncode == code
        assert "--receiver-epochs" in done.stdout + done.stderr
