"""`torchrun -m p2bot_parlai`: several processes do together what one does."""

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter

import pairs
import people
import pytest
import tiny
import torch
import torch.distributed
from parlai.core.opt import Opt
from parlai.core.teachers import create_task_agent_from_taskname
from parlai.scripts.eval_model import EvalModel
from parlai.scripts.interactive import Interactive
from parlai.scripts.train_model import setup_args

from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.errors import UsageError
from p2bot_parlai.parlai_support import evaluated, torchrun
from p2bot_parlai.parlai_support.evaluated import EXACTLY
from p2bot_parlai.plugin import command, output


def start(*words, processes: int = 2, **options) -> subprocess.Popen:
    """A command, with options as ParlAI's Python calls take them."""
    options.pop("verbose", None)  # a flag without a value
    flags = [part for k, v in options.items() for part in (f"--{k.replace('_', '-')}", str(v))]
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "-m", "p2bot_parlai", *words, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*words, **options) -> str:
    process = start(*words, **options)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    return output


# ------------------------------------------------------------------- train, evaluate, resume
@pytest.mark.slow
def test_two_processes_train_evaluate_and_resume_as_one(convai2, tiny_model, tmp_path):
    given = {"datatype": "train:ordered", "nup_coef": 0.0, "dropout": 0.0, "skip_generation": True}
    given |= {"lr_scheduler": "linear", "max_train_steps": 3, "seed": 3}
    given |= {"adam_eps": 0.01}  # or steps are as long where a gradient is next to nothing
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        shutil.copy(f"{tiny_model}.dict", f"{path}.dict")
    options = tiny.options(convai2, one, **given)
    tiny.train(convai2, one, **given)
    log = run("train_model", **{**options, "model_file": two, "batchsize": 2, "loglevel": "info"})
    assert log.count("training...") == 1  # one log
    states = [torch.load(path, weights_only=True) for path in (one, two)]
    for name, weight in states[0]["model"].items():
        torch.testing.assert_close(states[1]["model"][name], weight, atol=1e-6, rtol=1e-5)
    stats = [json.loads((tmp_path / f"{name}.trainstats").read_text()) for name in ("one", "two")]
    assert stats[0]["total_epochs"] == stats[1]["total_epochs"]
    for name, value in stats[0]["final_valid_report"].items():
        if name not in TIMES:
            assert stats[1]["final_valid_report"][name] == pytest.approx(value, abs=1e-5), name

    # dialogues do not divide by three
    logs, report = tmp_path / "logs.jsonl", tmp_path / "report.json"
    asked = {**tiny.QUIET, "task": "convai2:self_original", "model_file": two, "batchsize": 2}
    asked |= {"datapath": convai2, "skip_generation": True}
    together = {**asked, "world_logs": logs, "report_filename": report}
    run("eval_model", processes=3, **together)
    alone = tiny.evaluate(convai2, two, skip_generation=True)
    found = json.loads(report.read_text())["report"]
    assert found.keys() >= alone.keys() - TIMES
    for name, value in alone.items():
        if name not in TIMES:
            assert found[name] == pytest.approx(value, rel=1e-5), name
    parts = [tmp_path / f"logs_{rank}.jsonl" for rank in range(3)]
    lines = [line for part in parts for line in part.read_text().splitlines()]
    assert len(lines) == len(set(lines)) == number_of_dialogues(convai2)

    # the same run goes on in one process
    tiny.train(convai2, two, **{**given, "max_train_steps": 5})
    resumed = torch.load(two, weights_only=True)
    assert resumed["number_training_updates"] == 5
    assert {state["step"].item() for state in resumed["optimizer"]["state"].values()} == {5}
    # of eight dialogues, four a step
    assert json.loads((tmp_path / "two.trainstats").read_text())["total_epochs"] == 2.5


# what depends on the clock or on the size of a batch
TIMES = {"clen", "exps", "gpu_mem", "ctpb", "ctps", "ltpb", "ltps", "tpb", "tps", "ups"}


def number_of_dialogues(convai2) -> int:
    with open(f"{convai2}/ConvAI2/valid_self_original.txt", encoding="utf-8") as file:
        return sum(line.startswith("1 ") for line in file)


@pytest.mark.slow
def test_sigterm_to_torchrun_saves_and_ends_all(convai2, tiny_model, tmp_path):
    shutil.copy(f"{tiny_model}.dict", tmp_path / "model.dict")
    given = {"max_train_steps": 10000, "log_every_n_steps": 1, "loglevel": "info"}
    running = start("train_model", **tiny.options(convai2, tmp_path / "model", **given))
    for line in running.stdout:
        if "% done" in line:
            break
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=120)
    assert output.count("SIGTERM: saved") == 1, output
    states = torch.load(tmp_path / "model.checkpoint", weights_only=True)
    assert states["number_training_updates"] > 0


# --------------------------------------------------------------------------- what is refused
@pytest.fixture
def among_two(monkeypatch):
    """As torchrun starts the second process of two."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


def test_what_several_processes_cannot_do_together_is_refused(among_two):
    assert torchrun.check(EvalModel, Opt()) is None
    with pytest.raises(UsageError, match="without it"):
        torchrun.check(Interactive, Opt())
    with pytest.raises(UsageError, match="--area-under-curve-digits"):
        torchrun.check(EvalModel, Opt(area_under_curve_digits=2))


def test_more_processes_than_gpus_are_refused(among_two, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="no GPU for process 2 .*has 1"):
        torchrun.check(EvalModel, Opt())
    torchrun.check(EvalModel, Opt(no_cuda=True))


def test_another_process_says_what_the_primary_does_not(among_two, monkeypatch, capsys):
    waited = []
    monkeypatch.setattr(command.time, "sleep", waited.append)
    command.say("p2bot: error: no")
    assert capsys.readouterr().err == "rank 1: p2bot: error: no\n" and waited
    monkeypatch.setenv("RANK", "0")
    command.say("p2bot: error: no")
    assert capsys.readouterr().err == "p2bot: error: no\n" and len(waited) == 1


# ---------------------------------------------------------------------------- shares of the data
MORE = {
    "convai2:self_original": {},
    "p2bot:persona_perception": {"distractors": 5},
    "p2bot:persona_nli": {},
    "p2bot:selfplay": {"selfplay_dialogues": 11},
    "fromfile:parlaiformat": {"fromfile_datapath": "parlaiformat"},
    "jsonfile": {"jsonfile_datapath": "jsonfile"},
}
READ = [*((task, "valid") for task in MORE), ("convai2:self_original", "valid:stream")]
# of self-play there is no end
READ += [(task, "train:ordered") for task in MORE if task != "p2bot:selfplay"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Of each task, with a number of dialogues that two and five do not divide."""
    folder = tmp_path_factory.mktemp("data")
    people.write_people(folder, people=11)
    pairs.write_pairs(folder)
    examples = [f"text:say {n}\tlabels:{n}\tepisode_done:True\n" for n in range(11)]
    (folder / "parlaiformat").write_text("".join(examples))
    turns = [[{"id": "a", "text": f"say {n}"}, {"id": "b", "text": str(n)}] for n in range(11)]
    lines = [json.dumps({"dialog": [turn]}) + "\n" for turn in turns]
    (folder / "jsonfile").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("task, datatype", READ)
def test_each_example_is_read_by_one_process(monkeypatch, data, task, datatype):
    monkeypatch.chdir(data)
    given = {**tiny.QUIET, **MORE[task], "model": "p2bot", "datapath": str(data), "task": task}
    opt = setup_args().parse_kwargs(**given, datatype=datatype)
    alone, together = read(opt), Counter()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 5)
    for rank in range(5):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        together += read(opt)
    assert together == alone and alone


@pytest.mark.parametrize("part", ["1-1", "3-6", "{n}-{n}", "10-500", "{past}-{past}"])
def test_chosen_dialogues_are_shared_out(monkeypatch, data, part):
    """A process may have none of them; where all have none, one says so."""
    task = "p2bot:persona_perception"
    given = {**tiny.QUIET, **MORE[task], "model": "p2bot", "datapath": str(data), "task": task}
    opt = setup_args().parse_kwargs(**given, datatype="valid")
    number = read(opt).total()
    opt["eval_dialogues"] = part.format(n=number, past=number + 1)
    first, last = map(int, opt["eval_dialogues"].split("-"))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    found, refused = Counter(), 0
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        (teacher,) = create_task_agent_from_taskname(opt.copy())
        try:
            evaluated.restrict(teacher, opt)
        except UsageError:
            refused += 1
        else:
            found += all_of(teacher)
    assert bool(refused) == (first > number)
    assert found.total() == max(0, min(last, number) - first + 1)


def test_the_first_examples_are_shared_out(monkeypatch):
    """--num-examples, also where the processes do not divide it."""
    given: list[int] = []
    evaluate = output.with_exact_number(lambda opt, agent, task: given.append(opt[EXACTLY]))
    monkeypatch.setattr(output, "num_workers", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(output, "get_rank", lambda rank=rank: rank)
        evaluate({"num_examples": 7}, object.__new__(P2botAgent), "a task")
    assert given == [3, 2, 2]


def read(opt: Opt) -> Counter:
    """The examples of a teacher, once each."""
    (teacher,) = create_task_agent_from_taskname(opt.copy())
    return all_of(teacher)


def all_of(teacher) -> Counter:
    found: Counter = Counter()
    left = teacher.num_episodes() if "train" in teacher.datatype else float("inf")
    while left and not teacher.epoch_done():
        message = teacher.act()
        if not message.is_padding():
            labels = message.get("labels") or message.get("eval_labels") or ()
            found[message["text"], *labels, str(message.get("opening"))] += 1
            left -= message["episode_done"]
    return found
