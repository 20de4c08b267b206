"""Patches of ParlAI: applied once, undone whole, and nobody else's lost."""

import subprocess
import sys
import types

import pytest
from convai2_files import write_convai2

from p2bot_parlai.parlai_support import patching
from p2bot_parlai.parlai_support.patching import Patch


def louder(stock):
    return lambda text: stock(text) + "!"


@pytest.fixture
def module():
    made = types.ModuleType("somebodys")
    made.say = lambda text: text
    return made


def test_a_patch_is_applied_once_and_undone(module):
    stock = module.say
    for _ in range(2):
        Patch(module, "say", louder).apply()
    assert module.say("a") == "a!"
    for _ in range(2):
        Patch(module, "say", louder).undo()
    assert module.say is stock


def test_a_patch_is_not_undone_below_somebody_elses(module):
    Patch(module, "say", louder).apply()
    ours = module.say
    module.say = lambda text: f"({ours(text)})"
    with pytest.warns(UserWarning, match="somebodys.say was wrapped again"):
        Patch(module, "say", louder).undo()
    assert module.say("a") == "(a!)"
    module.say = ours
    Patch(module, "say", louder).undo()


def test_another_version_of_parlai_is_left_alone_with_a_warning(module):
    stock = module.say
    message = "leaves somebodys.say as it is: it knows ParlAI 9.0, and this is 1.7.2"
    with pytest.warns(UserWarning, match=message):
        Patch(module, "say", louder, versions=("9.0",)).apply()
    assert module.say is stock


def test_patches_of_a_block_end_with_it(module):
    stock = module.say
    with pytest.raises(ZeroDivisionError), patching.patched(Patch(module, "say", louder)):
        assert module.say("a") == "a!"
        raise ZeroDivisionError
    assert module.say is stock


# --------------------------------------------------------------------- in fresh processes
# every attribute of ParlAI's modules and classes that are imported, and what else may be changed
SNAPSHOT = """
import importlib, inspect, os, sys
import parlai.core.script, sklearn, torch  # scikit-learn sets two variables itself
parlai.core.script.setup_script_registry = None  # it would let plug-ins in
for name in ("core.worlds core.params core.agents nn.lr_scheduler core.torch_ranker_agent "
             "utils.fsdp utils.distributed tasks.convai2.agents tasks.convai2.build "
             "scripts.multiprocessing_train scripts.multiprocessing_eval scripts.vacuum "
             "scripts.interactive scripts.self_chat core.torch_generator_agent").split():
    importlib.import_module("parlai." + name)

def snapshot():
    found = {("sys", "excepthook"): sys.excepthook, ("os", "environ"): dict(os.environ)}
    owners = {n: m for n, m in sys.modules.items() if n.split(".")[0] == "parlai"}
    owners["DDP"] = torch.nn.parallel.DistributedDataParallel
    for module in list(owners.values()):
        owners.update({f"{k.__module__}.{k.__qualname__}": k for k in vars(module).values()
                       if inspect.isclass(k) and k.__module__.startswith("parlai")})
    for name, owner in owners.items():
        found.update({(name, key): value for key, value in vars(owner).items()
                      if not inspect.ismodule(value) and not key.startswith("__path")})
    return found

def changed(before):
    now = snapshot()
    return [key for key, value in before.items() if now.get(key) is not value != now.get(key)]
"""


def python(code, *arguments, **given):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        **given,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_importing_us_changes_nothing_and_undo_restores_every_attribute():
    out = python(
        SNAPSHOT + "before = snapshot()\n"
        "import p2bot_parlai, p2bot_parlai.plugin\n"
        "from p2bot_parlai import P2Bot, plugin\n"
        "import p2bot_parlai.agents.p2bot, p2bot_parlai.agents.receiver\n"
        "assert not changed(before), changed(before)\n"
        "before = snapshot()\n"
        "plugin.register(); plugin.register()\n"
        "patched = changed(before)\n"
        "plugin.undo()\n"
        "assert not changed(before), changed(before)\n"
        "plugin.register()\n"
        "assert changed(before) == patched\n"
        "print(sorted({key for _, key in patched}))"
    )
    for name in ("load", "load_init", "add_world_args", "excepthook", "setup_data"):
        assert repr(name) in out


# somebody else's plug-in, which counts calls
THEIRS = """
import os, sys
from parlai.core import loader, worlds
from parlai.core.opt import Opt
from parlai.scripts import train_model
from parlai.scripts.train_model import TrainModel
from p2bot_parlai import plugin
calls = []

def wrap(owner, name):
    stock = vars(owner)[name]
    inner = getattr(stock, "__func__", stock)
    def wrapper(*args, **kwargs):
        calls.append(name)
        return inner(*args, **kwargs)
    setattr(owner, name, classmethod(wrapper) if inner is not stock else wrapper)

def theirs():
    wrap(train_model.TrainLoop, "train")
    wrap(Opt, "load")
    wrap(worlds, "load_world_module")

folder, datapath = sys.argv[1:]
child = os.fork()  # a process for each order
for install in (theirs, plugin.register) if child else (plugin.register, theirs):
    install()
plugin.register()
sizes = dict(n_layers=1, n_heads=1, embedding_size=8, n_positions=256, text_truncate=128)
for model in ("p2bot", "transformer/generator"):
    calls.clear()
    if model == "p2bot":
        sizes |= dict(backbone="scratch", vocab_size=300)
    given = dict(model=model, task="convai2", datapath=datapath, loglevel="error", batchsize=2)
    given |= dict(max_train_steps=1, skip_generation=True, short_final_eval=True)
    given |= dict(validation_max_exs=2, model_file=f"{folder}/{len(model)}_{bool(child)}", **sizes)
    TrainModel.main(**given)
    assert set(calls) == {"train", "load", "load_world_module"}, (model, calls)
    sizes.pop("backbone", None), sizes.pop("vocab_size", None)
assert not child or os.waitpid(child, 0)[1] == 0
"""


def test_another_plug_in_keeps_its_patches_whoever_is_first(tmp_path):
    """Of the training loop, of Opt.load and of the choice of a world, with any agent."""
    python(THEIRS, tmp_path, write_convai2(tmp_path / "data", dialogues=2))


# a run of a stock agent: 12 updates, then 8 more, then an evaluation
STOCK = """
import json, random, sys
import numpy as np, torch
random.seed(1), np.random.seed(1), torch.manual_seed(1)
from parlai.scripts.eval_model import EvalModel
from parlai.scripts.train_model import TrainModel

with_us, folder, datapath = sys.argv[1:]
if with_us == "with":
    from p2bot_parlai import plugin
    plugin.register()
run = dict(task="convai2", datapath=datapath, model_file=f"{folder}/model", loglevel="error")
run |= dict(batchsize=4, skip_generation=True)
model = dict(model="transformer/generator", n_layers=1, n_heads=1, embedding_size=8, ffn_size=8)
model |= dict(n_positions=256, text_truncate=256, lr_scheduler="none", seed=3, dropout=0.1)
model |= dict(validation_every_n_steps=6, save_after_valid=True)
model |= dict(log_every_n_steps=4, validation_metric="ppl")
reports = [
    report
    for steps in (12, 20)
    for report in TrainModel.main(**run, **model, max_train_steps=steps, validation_max_exs=8)
]
reports.append(EvalModel.main(**run, datatype="valid"))
speeds = {"exps", "ups", "tps", "ctps", "ltps"}
metrics = [{k: float(v) for k, v in r.items() if k not in speeds} for r in reports]
with open(f"{folder}/metrics.json", "w") as file:
    json.dump(metrics, file)
"""


def test_a_stock_agent_trains_resumes_and_is_evaluated_as_without_us(tmp_path):
    import torch

    found = []
    for how in ("with", "without"):
        folder, data = tmp_path / how, tmp_path / f"{how}_data"
        folder.mkdir()
        python(STOCK, how, folder, write_convai2(data, dialogues=4))
        names = sorted(p.name for p in (*folder.rglob("*"), *data.rglob("*")))
        weights = torch.load(folder / "model", weights_only=False)["model"]
        found.append((names, (folder / "metrics.json").read_text(), weights))
    (names, metrics, weights), (stock_names, stock_metrics, stock_weights) = found
    assert names == stock_names
    assert metrics == stock_metrics and "ppl" in metrics
    assert weights.keys() == stock_weights.keys()
    for name, weight in stock_weights.items():
        torch.testing.assert_close(weights[name], weight, atol=0, rtol=0)
