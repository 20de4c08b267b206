"""Tables from reports that are made by hand; the plan; report.md and report.html."""

import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from p2bot_parlai.errors import P2botError
from p2bot_parlai.metrics.significance import Example
from p2bot_parlai.tools.figures import draw_relevance_map
from p2bot_parlai.tools.report import laid_out
from p2bot_parlai.tools.reproduce import report
from p2bot_parlai.tools.reproduce.presets import BASELINES, PRESETS, PROMPTED, TABLES, in_minutes
from p2bot_parlai.tools.reproduce.running import Runner
from p2bot_parlai.tools.reproduce.steps import DUMP, Plan, Size, as_command, scaled
from p2bot_parlai.tools.reproduce.tables import (
    differences,
    read_dumps,
    read_reports,
    summarise,
    tables,
)


def plan_of(folder, preset="sketch", made=TABLES, size=None) -> Plan:
    return Plan(PRESETS[preset], made, folder / "out", folder / "data", size or Size())


# ----------------------------------------------------------------------------- figures
def test_mean_and_deviation_by_hand():
    found = summarise([{"f1": 0.1}, {"f1": 0.2}, {"f1": 0.6}], "f1")
    # mean 30; deviations -20, -10, 30: sqrt(1400 / 2) = 26.4575
    assert (found.mean, found.std) == (pytest.approx(30), pytest.approx(26.4575, abs=1e-4))
    assert str(found) == "30.00 ± 26.46"
    assert str(summarise([{"ppl": 15.12}], "ppl")) == "15.12"
    assert summarise([{"ppl": 1}, {}], "ppl") is None and summarise([], "ppl") is None


def test_table_1_has_ours_and_the_papers():
    reports = {
        ("P²Bot", "original"): [{"hits@1": 0.8, "ppl": 15, "ppl_word": 20, "f1": 0.2}] * 2,
        ("IR", "original"): [{"hits@1": 0.4, "f1": 0.4}],
    }
    original, revised = tables("1", reports)
    rows = {row[0]: row[1:] for row in original.rows}
    assert original.header[1:] == [
        *("Hits@1 %", "[paper]", "ppl", "[paper]", "ppl a word", "F1 %", "[paper]", "BLEU %")
    ]  # and no persona F1, which nothing has
    assert rows["P²Bot"] == [
        *("80.00 ± 0.00", "[81.90 ± 0.10]", "15.00 ± 0.00", "[15.12 ± 0.16]"),
        *("20.00 ± 0.00", "20.00 ± 0.00", "[19.77 ± 0.08]", "-"),
    ]
    # what a ranker says is one of the candidates: no F1
    assert rows["IR"] == ["40.00", "-", "-", "-", "-", "-", "-", "-"]
    assert rows["Lost In Conversation"][:2] == ["-", "[17.30]"]
    assert {row[0]: row[2] for row in revised.rows}["P²Bot"] == "[68.60 ± 0.20]"


def test_table_3_and_its_changes_are_the_papers():
    reports = {
        ("P²Bot-S", "revised"): [{"hits@1": 0.5, "f1": 0.1, "bleu-4": 0.01}],
        ("+ RS.3", "revised"): [{"hits@1": 0.6, "f1": 0.11, "bleu-4": 0.005}],
    }
    (table,) = tables("3", reports)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["P²Bot-S"] == ["50.00", "[68.70]", "10.00", "[18.14]", "1.00", "[0.56]"]
    assert rows["+ RS.3"][2:] == [
        *("11.00 (+10.0%)", "[19.08 (+5.2%)]", "0.50 (-50.0%)", "[0.75 (+33.9%)]")
    ]


def test_people_are_the_ceiling(tmp_path):
    """What they say is in the dumps of every system; the first one's counts."""
    figures = {"persona_f1": 0.2, "human_persona_f1": 0.125, "human_c_score": 0.25}
    reports, measured, asked = [], {}, {"eval_labels": ["hello"], "id": "t"}
    for number, row in enumerate(("P²Bot-S", "+ RS.3"), start=1):
        reports.append(tmp_path / str(number) / "report.json")
        reports[-1].parent.mkdir()
        reports[-1].write_text(json.dumps({"report": figures | {"f1": number / 10}}))
        told = {"metrics": figures}
        dialogues = [[[asked | {"text": f"hi {n}"}, told]] for n in "ab"]
        lines = [json.dumps({"dialog": dialogue}) for dialogue in dialogues]
        reports[-1].with_name(DUMP).write_text("\n".join(lines))
        measured[row, "revised"] = [reports[-1]]
    found, dumps = (read("3", measured, "convai2") for read in (read_reports, read_dumps))
    rows = ("P²Bot-S", "+ RS.3")
    (table,) = tables("3", found, rows, dumps)
    assert [row[0] for row in table.rows] == [*rows, "Human"]
    columns = dict(zip(table.header, table.rows[-1], strict=True))
    assert columns["Persona F1 %"] == "12.50 (-37.5%)" and columns["C-score %"] == "25.00"
    assert columns["F1 %"] == "-"
    (changes,) = differences("3", dumps, rows)
    people = dict(zip(changes.header, changes.rows[-1], strict=True))
    assert people[""] == "Human" and people["Persona F1 %"] == "-7.50"


def answers(f1: float, dialogues: int = 20) -> list[Example]:
    """Two of each dialogue; half of the dialogues are worse by 0.1, half better."""
    return [
        Example(f"{n} {turn}", str(n), "t", {"f1": (f1 + (0.1 if n % 2 else -0.1), 1.0)}, {})
        for n in range(dialogues)
        for turn in (1, 2)
    ]


def test_intervals_stand_beside_what_was_measured():
    place = ("P²Bot-S", "revised")
    (table,) = tables("3", {place: [{"f1": 0.2}] * 2}, (), {place: [answers(0.2)] * 2})
    assert table.header[3:6] == ["F1 %", "95%", "[paper]"]
    low, high = map(float, table.rows[0][4].split(" to "))
    # of 20 dialogues at 10 and 30: standard error 10 / sqrt(20) = 2.2, whatever the seeds
    assert 1.7 < (20 - low) / 1.96 < 2.7 and 1.7 < (high - 20) / 1.96 < 2.7
    assert table.rows[1][4] == "-"


def test_differences_are_of_the_same_dialogues():
    names = ("hits@1", "f1", "bleu-4")
    dumps = {}
    for row, f1 in (("P²Bot-S", 0.2), ("+ RS.3", 0.23), ("- Persona", 0.5), ("P²Bot-S, MI", 0.2)):
        found = answers(f1)
        for example in found:
            example.metrics |= dict.fromkeys(names, example.metrics["f1"])
            example.name += "none" * (row == "- Persona")  # another persona is another example
        dumps[row, "revised"] = [found] * 2
        if row == "P²Bot-S, MI":  # which ranks and generates nothing
            found[:] = [replace(e, metrics={"hits@1": e.metrics["hits@1"]}) for e in found]
    (table,) = differences("3", dumps)
    columns = [(f"{metric} %", "95%", "p") for metric in ("Hits@1", "F1", "BLEU")]
    assert table.header == ["", *itertools.chain(*columns)]
    assert [row[0] for row in table.rows] == ["P²Bot-S, MI", "+ RS.3"]
    assert table.rows[0][1] == "+0.00" and table.rows[0][4:] == ["-"] * 6
    assert table.rows[1][4:6] == ["+3.00", "+3.00 to +3.00"] and float(table.rows[1][6]) < 0.01


def test_table_5_reads_a_perception_table(tmp_path):
    task = "p2bot:sketch:self_original"
    content = {m: {task: {"hits@1": h, "mrr": h / 2}} for m, h in (("IR", 0.5), ("Receiver", 0.9))}
    file = tmp_path / "report.json"
    file.write_text(json.dumps(content))
    measured = {("Receiver", "original"): [file]}
    original, revised = tables("5", read_reports("5", measured, "p2bot:sketch"))
    assert {row[0]: row[1:] for row in original.rows} == {
        "Random": ["-", "[3.10]", "-", "[0.20]"],
        "IR": ["50.00", "[67.50]", "25.00", "[20.90]"],
        "Receiver": ["90.00", "[93.80]", "45.00", "[37.50]"],
    }
    assert revised.rows[2][1] == "-"
    file.write_text("{")
    with pytest.raises(P2botError, match="report.json is no report"):
        read_reports("5", measured, "p2bot:sketch")


# -------------------------------------------------------------------------------- plan


@pytest.mark.parametrize("preset", PRESETS)
def test_every_step_comes_after_what_it_needs(tmp_path, preset):
    plan = plan_of(tmp_path, preset, size=Size(seeds=(1, 2)))
    Runner(plan.folder, list(plan.steps.values()))  # else a KeyError
    counts = {p: len(files) for t in plan.measured.values() for p, files in t.items()}
    # without training there are no seeds
    assert all(count == 1 + (row != PROMPTED) for (row, _), count in counts.items())
    made = {file for step in plan.steps.values() for file in step.makes}
    assert {f for t in plan.measured.values() for files in t.values() for f in files} <= made


def test_the_steps_of_each_table(tmp_path):
    one, three, five = (plan_of(tmp_path, made=(t,)).steps for t in "135")
    assert list(five) == [
        *("Receiver.both.seed1", "perception.Receiver.both.seed1"),
        *("map.Receiver.both.seed1.original", "map.Receiver.both.seed1.revised"),
    ]
    assert {f"{name}.both.seed1" for name in BASELINES.values()} < set(one)
    assert {f"{n}.both.seed1" for n in ("no-persona", "no-next", "RS1", "RS2")} < set(three)
    style = three["RS1.both.seed1"]
    assert "--receiver" not in style.command and style.needs == ("P2Bot-S.both.seed1",)
    assert "--lambda-coherence 0 --lambda-persona 0" in as_command(style)
    assert "--lambda-persona 0" in as_command(three["RS2.both.seed1"])
    assert "--lambda" not in as_command(three["P2Bot.both.seed1"])
    assert "-o p2bot/sketch_selfplay" in as_command(three["P2Bot.both.seed1"])
    assert "--task p2bot:sketch:none" in as_command(three["eval.no-persona.both.seed1.none"])
    assert "--scale" not in str(three) and "--sketch-dialogues" not in str(three)


def test_rows_that_rank_otherwise_are_of_the_same_models(tmp_path):
    steps = plan_of(tmp_path, made="3").steps
    likelihood, information = (
        steps[f"eval.no-next.both.seed1.self_revised{how}"] for how in ("", ".mutual-information")
    )
    assert option(likelihood, "--model-file") == option(information, "--model-file")
    assert "--rank-by" not in likelihood.command
    assert option(information, "--rank-by") == "mutual-information"
    assert option(information, "--skip-generation") == "True"
    both = steps["eval.P2Bot-S.both.seed1.self_revised.both"]
    assert option(both, "--mutual-information") == "0.05"
    assert "--skip-generation" not in both.command


def test_what_ships_is_evaluated_and_not_trained_the_most_important_first(tmp_path):
    steps = plan_of(tmp_path, "smollm2_zoo", PRESETS["smollm2_zoo"].tables).steps
    order = list(steps)
    assert order[:4] == [
        f"eval.{model}.original.seed1.self_{variant}"
        for variant in ("original", "revised")
        for model in ("P2Bot-S", "P2Bot")
    ]
    first = steps[order[0]]
    assert option(first, "--model-file") == "zoo:p2bot/smollm2/supervised" and not first.needs
    prompted = steps["eval.prompted.self_original"]
    assert option(prompted, "--context-style") == "chatml" and not prompted.needs
    trained = {n.split(".")[0] for n, s in steps.items() if s.command[0] == "train_model"}
    assert trained == set(BASELINES.values())
    assert not [name for name in order if name.startswith("calibrate")]
    assert "P²Bot=zoo:p2bot/smollm2/model" in steps["answers.original.seed1"].command
    evaluated = [s for n, s in steps.items() if n.startswith("eval.")]
    assert {option(step, "--eval-dialogues") for step in evaluated} == {"251-500"}


def test_our_models_are_judged_where_they_answer(tmp_path):
    steps = plan_of(tmp_path, made="13", size=Size(nli_model="nli/model")).steps
    judged = {name for name, step in steps.items() if "--persona-metrics" in step.command}
    assert judged == {name for name, step in steps.items() if "--nli-model" in step.command}
    assert "eval.P2Bot-S.both.seed1.self_original" in judged
    assert not [name for name in judged if "seq2seq" in name or "mutual-information" in name]


def test_what_is_not_done_is_left_out(tmp_path):
    plan = plan_of(tmp_path, made="35")
    lost = [name for name in plan.steps if not name.startswith("eval.P2Bot-S.")]
    plan.leave_out(lost)
    assert {row for (row, _), files in plan.measured["3"].items() if files} == {
        *("P²Bot-S", "P²Bot-S, MI", "P²Bot-S + MI")
    }
    assert not any(plan.measured["5"].values()) and plan.maps == [] and plan.dialogues is None


def test_table_4_asks_every_system_of_the_first_seed(tmp_path):
    plan = plan_of(tmp_path, made=("4", "1"), size=Size(seeds=(3, 4)))
    (step,) = [step for name, step in plan.steps.items() if name.startswith("answers.")]
    assert step.name == "answers.both.seed3" and plan.answers in step.makes
    after = step.command[step.command.index("--systems") + 1 :]
    models = dict(s.split("=", 1) for s in itertools.takewhile(lambda s: "=" in s, after))
    assert list(models) == [*BASELINES, "P²Bot"]
    assert models["P²Bot"] == str(plan.model("P2Bot.both.seed3"))
    assert set(step.needs) == {f"{n}.both.seed3" for n in ("P2Bot", *BASELINES.values())}


def test_another_scale_is_another_command(tmp_path):
    assert scaled({"o": "p2bot/x", "num_epochs": 2, "warmup_updates": 100}, 0.001) == {
        "num_epochs": 0.002,
        "warmup_updates": 1,
    }
    # an epoch on 2,000 of 9,000 dialogues is shorter
    plan = plan_of(tmp_path, size=Size(scale=0.01))
    receiver = as_command(plan.steps["Receiver.both.seed1"])
    assert "--sketch-dialogues 2000" in receiver and "--num-epochs 0.045 " in receiver
    full = plan_of(tmp_path).steps["P2Bot.both.seed1"]
    small = plan_of(tmp_path, size=Size(scale=0.01)).steps["P2Bot.both.seed1"]
    assert "--selfplay-dialogues 20" in as_command(small)
    assert "selfplay-dialogues" not in as_command(full)


def option(step, name: str) -> str:
    return step.command[step.command.index(name) + 1]


def test_minutes_are_shared_by_trainings_and_evaluations(tmp_path):
    size = Size(minutes=10)
    plan = Plan(in_minutes(PRESETS["smollm2"]), TABLES, tmp_path / "out", tmp_path, size)
    limits = {
        name: float(option(step, flag))
        for name, step in plan.steps.items()
        for flag in ("--max-train-time", "--max-eval-time")
        if flag in step.command
    }
    trained = {n.split(".")[0] for n, s in plan.steps.items() if s.command[0] == "train_model"}
    assert trained == {"P2Bot-S", "P2Bot", "Receiver"}
    assert len([n for n in limits if n.startswith("eval.")]) == 4
    assert limits["P2Bot-S.original.seed1"] > limits["P2Bot.original.seed1"] > 0
    assert 550 < sum(limits.values()) + 20 * len(plan.steps) < 610
    for step in plan.steps.values():
        if step.command[0] in ("eval_model", "perception_table"):
            assert option(step, "--eval-dialogues") == "251-500"


def test_how_far_trainings_came_that_the_clock_ended(tmp_path):
    plan = plan_of(tmp_path, "smollm2", "5", Size(minutes=1))
    assert list(plan.steps)[0] == "Receiver.original.seed1"
    plan.model("Receiver.original.seed1").parent.mkdir(parents=True)
    stats = plan.file("Receiver.original.seed1", "model.trainstats")
    stats.write_text(json.dumps({"total_epochs": 0.125, "train_steps": 9}))
    assert report.cut_short(plan) == {"Receiver.original.seed1": "0.125 epochs, 9 updates"}
    assert report.cut_short(plan_of(tmp_path, "smollm2", "5")) == {}


def test_coverage_gets_a_receiver_that_is_calibrated_on_other_dialogues(tmp_path):
    steps = plan_of(tmp_path, "smollm2", "3").steps
    (calibrate,) = [step for name, step in steps.items() if name.startswith("calibrate.")]
    assert "--eval-dialogues 1-250" in " ".join(calibrate.command)
    assert calibrate.needs == ("Receiver.original.seed1",)
    users = {name for name, step in steps.items() if calibrate.name in step.needs}
    assert users == {"P2Bot.original.seed1"}


def test_the_rewards_are_those_of_the_preset(tmp_path):
    plan = plan_of(tmp_path, "smollm2", "3")
    assert plan.added == ["style", "coherence", "coverage", "overlong"]
    second = as_command(plan.steps["RS2.original.seed1"])
    assert "--lambda-coverage 0 " in second and "lambda-persona" not in second
    assert "lambda-overlong" not in second  # the paper has no row without it


def test_a_precision_is_that_of_the_stages(tmp_path):
    steps = plan_of(tmp_path, made="13", size=Size(precision="bf16")).steps
    for name in ("P2Bot-S", "no-next", "P2Bot"):
        assert option(steps[f"{name}.both.seed1"], "--precision") == "bf16"
    assert "--precision" not in steps["seq2seq.both.seed1"].command


def test_one_dialogue_has_no_differences():
    """As of an evaluation that the clock ended soon."""
    rows = ("P²Bot-S", "+ RS.3")
    assert differences("3", {(row, "revised"): [answers(0.2, 1)] for row in rows}) == []


# ------------------------------------------------------------------------------ report
@pytest.fixture
def made(tmp_path):
    """A plan over two seeds with what its steps make written by hand."""
    plan = plan_of(tmp_path, made=("3", "4"), size=Size(seeds=(1, 2), scale=0.5))
    for name, step in plan.steps.items():
        if step.command[0] == "train_model":
            plan.model(name).parent.mkdir(parents=True)
            stats = {"train_reports": [{"train_steps": 1, "loss": 1.0, "reward": 0.5}]}
            plan.file(name, "model.trainstats").write_text(json.dumps(stats))
    for (row, _), files in plan.measured["3"].items():
        for seed, file in enumerate(files, start=1):
            file.parent.mkdir(parents=True)
            figures = {"hits@1": 0.1 * seed, "f1": 0.2, "bleu-4": 0.01}
            file.write_text(json.dumps({"report": figures, "row": row}))
            asked = {"text": "hi", "eval_labels": ["hello"], "id": "t"}
            told = {"metrics": figures}
            dialogues = [[[asked | {"text": f"hi {n}"}, told]] for n in "ab"]
            lines = [json.dumps({"dialog": dialogue}) for dialogue in dialogues]
            file.with_name(DUMP).write_text("\n".join(lines))
    turn = {"user": "hi <b>", "agent": "hello", "rewards": {}, "weighted": {}, "reward": 0.0}
    dialogue = {"user_persona": ["i swim ."], "agent_persona": ["i sing ."], "turns": [turn]}
    plan.dialogues.parent.mkdir(parents=True)
    plan.dialogues.write_text(json.dumps(dialogue) + "\n", encoding="utf-8")
    said = {"human": "i ski .", "P²Bot": "i sew & sing ."}
    context = {"task": "t", "persona": ["i sew ."], "context": [["partner", "hi"]]}
    plan.answers.parent.mkdir(parents=True)
    plan.answers.write_text(json.dumps({**context, "responses": said}) + "\n", encoding="utf-8")
    plan.maps = [tmp_path / "map.svg"]
    draw_relevance_map(np.array([[0.25]]), ["i sew all day ."], ["i sew ."], str(plan.maps[0]))
    return plan


def test_evaluations_that_the_clock_may_have_ended_are_not_of_all_examples(made):
    made.size = replace(made.size, minutes=9)
    report.write(made, Runner(made.folder, []), "parlai reproduce --minutes 9")
    text = (made.folder / "report.md").read_text(encoding="utf-8")
    assert "validation examples: all, as far as the time went" in text


def test_the_report_says_everything(made):
    runner = Runner(made.folder, list(made.steps.values()))
    table, changes = report.write(made, runner, "parlai reproduce --preset sketch")
    # all but P²Bot-S, and people, whom these evaluations do not have
    assert len(changes.rows) == len(table.rows) - 2
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    text = (made.folder / "report.md").read_text(encoding="utf-8")
    cell = r" *</td><td[^>]*> *"
    assert re.search(rf"P²Bot-S{cell}15.00 ± 7.07{cell}15.00 to 15.00{cell}\[68.70\]", page)
    assert re.search(r"\| P²Bot-S +\| +15.00 ± 7.07 \| 15.00 to 15.00 \| +\[68.70\] \|", text)
    assert "hi &lt;b&gt;" in page and "http" not in page.split("<pre>")[0]
    for part in (
        *("parlai reproduce --preset sketch", "core-hours", "torch", "not measured here"),
        *("0.5 of the training: a trial", "1, 2", "parlai train_model -o p2bot/sketch_"),
    ):
        assert part in page and part in text
    assert "i sew &amp; sing ." in page and "P²Bot: i sew & sing ." in text
    assert page.count("<svg") == 4 and "i sew all day ." in page and "<?xml" not in page
    assert "[68.70]" in laid_out(table.header, table.rows)
