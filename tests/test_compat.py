"""Each shim: the break is gone, and nothing changes where there is none."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import weakref

import parlai.nn.lr_scheduler as schedulers
import parlai.utils.distributed as distributed
import pytest
import torch
import torch.distributed as dist
from convai2_files import write_convai2
from parlai.core.opt import Opt
from parlai.core.torch_agent import Batch
from parlai.utils.misc import AttrDict

from p2bot_parlai.parlai_support import shims


@pytest.fixture(autouse=True)
def applied():
    shims.apply()


def test_apply_twice_changes_nothing():
    def state():
        return (
            schedulers.ReduceOnPlateauLRScheduler.__init__,
            distributed.distributed_context,
            distributed.all_gather_list,
            dict(shims._originals),
        )

    import parlai.scripts.multiprocessing_eval
    import parlai.scripts.multiprocessing_train  # noqa: F401

    shims.multiprocessing_on_cpu()
    before = state()
    shims.apply()
    assert state() == before
    assert shims._originals["all_gather_list"].__module__ == "parlai.utils.distributed"


def test_the_default_scheduler_can_be_built_and_lowers_the_rate():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedulers.ReduceOnPlateauLRScheduler(optimizer, 0, 0.5, -1, 1e-4)
    for loss in (1.0, 2.0):
        scheduler.valid_step({"loss": loss})
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_the_scheduler_is_left_alone_where_torch_knows_verbose(monkeypatch):
    class Old:
        def __init__(self, optimizer, mode, factor, patience, verbose=False):
            pass

    monkeypatch.setattr(torch.optim.lr_scheduler, "ReduceLROnPlateau", Old)
    monkeypatch.setattr(schedulers.ReduceOnPlateauLRScheduler, "__init__", "upstream's")
    shims.plateau_scheduler_verbose()
    assert schedulers.ReduceOnPlateauLRScheduler.__init__ == "upstream's"


def test_gathering_without_a_group_is_upstreams():
    assert distributed.all_gather_list({"a": 1}) == [{"a": 1}]


def test_a_gloo_group_of_one(tmp_path):
    opt = Opt(distributed_world_size=1)
    threads = torch.get_num_threads()
    wrap = torch.nn.parallel.DistributedDataParallel.__init__
    with distributed.distributed_context(0, opt, init_method=f"file://{tmp_path}/group") as own:
        assert dist.get_backend() == "gloo"
        assert (own["rank"], own["gpu"], own["override"]["gpu"]) == (0, -1, -1)
        assert distributed.all_gather_list("x") == ["x"]
        # ParlAI's agents always name a GPU
        torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1), device_ids=[-1])
    assert "gpu" not in opt
    assert not dist.is_initialized()
    assert torch.get_num_threads() == threads
    assert torch.nn.parallel.DistributedDataParallel.__init__ is wrap


def test_with_a_gpu_the_context_is_upstreams(monkeypatch):
    import contextlib

    @contextlib.contextmanager
    def upstream(*args):
        yield "upstream"

    monkeypatch.setitem(shims._originals, "distributed_context", upstream)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with distributed.distributed_context(0, Opt()) as opt:
        assert opt == "upstream"


def test_no_number_of_processes_is_an_error_that_names_the_flag():
    with (
        pytest.raises(ValueError, match="--distributed-world-size"),
        distributed.distributed_context(0, Opt(distributed_world_size=0)),
    ):
        pass


def test_a_missing_preset_is_parlais_own_error(tmp_path):
    """In a process whose parlai_internal is a namespace package."""
    (tmp_path / "parlai_internal" / "scripts").mkdir(parents=True)
    code = (
        "import p2bot_parlai.parlai_support.shims as c; c.presets_and_namespace_packages()\n"
        "from parlai.core.opt import Opt\n"
        "try: Opt.load_init('nosuch')\n"
        "except FileNotFoundError as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "nosuch" in run.stdout, run.stderr


@pytest.mark.slow
def test_a_stock_agent_trains_and_evaluates_in_two_processes(tmp_path):
    data = write_convai2(tmp_path / "data")
    model = str(tmp_path / "model")
    tiny = ["--n-layers", "1", "--n-heads", "1", "--embedding-size", "8", "--ffn-size", "8"]
    task = ["-t", "convai2", "-dp", data, "-bs", "4"]
    stock = ["-m", "transformer/generator", *tiny, "--n-positions", "512"]

    def parlai(*args):
        run = subprocess.run(
            [sys.executable, "-m", "p2bot_parlai", *args],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=tmp_path,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    # ParlAI wants a stock agent's dictionary before it starts processes
    parlai("build_dict", "-t", "convai2", "-dp", data, "--dict-file", model + ".dict")
    steps = ["--max-train-steps", "4", "-vstep", "2", "-vme", "8"]
    two = ["--distributed-world-size", "2"]
    task += ["-mf", model, "--skip-generation", "true"]
    log = parlai("multiprocessing_train", *two, *task, *stock, *steps, "-vmt", "ppl")
    assert "token_acc" in log
    assert "broadcast_buffers" not in log
    assert "token_acc" in parlai("multiprocessing_eval", *two, *task, "-dt", "valid")


def test_counting_a_data_set_writes_nothing_beside_it(tmp_path):
    """A read-only data folder must do; see also the permissions below."""
    from parlai.core.agents import Agent
    from parlai.core.worlds import create_task
    from parlai.scripts.train_model import setup_args

    data = tmp_path / "data"
    write_convai2(data)
    before = sorted(data.rglob("*"))
    opt = setup_args().parse_kwargs(
        task="convai2", datapath=str(data), datatype="train:ordered:stream", model_file="unused"
    )
    world = create_task(opt, [Agent(opt)])
    assert (world.num_episodes(), world.num_examples()) == (8, 32)
    assert sorted(data.rglob("*")) == before


def test_delayed_nucleus_beam_samples_and_then_searches():
    from parlai.core.torch_generator_agent import DelayedNucleusBeamSearch

    search = DelayedNucleusBeamSearch(0.5, 1, 2, padding_token=0, bos_token=1, eos_token=2)
    scores = torch.log_softmax(torch.tensor([[0.0, 0.0, 0.0, 9.0]] * 2), -1)
    for step in range(2):  # nucleus first, then beam
        search.advance(scores.clone(), step)
    assert search.outputs[1].tolist() == [3, 3]


def test_full_stops_may_be_several_tokens():
    from parlai.core.torch_generator_agent import FactualNucleusSampling

    class Dictionary:
        def txt2vec(self, text):
            return {".": [7, 4], "?": [5], "!": [7, 6]}[text]

    search = FactualNucleusSampling(0.9, 0.9, 0.3, True, 1, dict=Dictionary())
    assert search.full_stop_list.flatten().tolist() == [4, 5, 6]


def test_a_batch_is_freed_when_nobody_has_it_any_more():
    """With the garbage collector off: nothing of a batch refers to the batch."""
    gc.disable()
    try:
        batch, vector = Batch(batchsize=1), torch.zeros(3)
        batch.reward = vector
        seen = weakref.ref(vector)
        del vector
        assert seen() is not None
        del batch
        assert seen() is None
    finally:
        gc.enable()


def test_batches_are_read_and_changed_as_before():
    batch = Batch(batchsize=2, text_vec=torch.ones(2, 3), is_training=False)
    assert batch.batchsize == batch["batchsize"] == 2 and batch.labels is None
    batch.extra = 1
    batch["more"] = 2
    batch.extra += 1
    assert (batch["extra"], batch.more) == (2, 2) and "extra" in batch
    del batch.extra
    assert "extra" not in batch and not hasattr(batch, "extra")
    with pytest.raises(AttributeError, match="extra"):
        _ = batch.extra
    with pytest.raises(AttributeError, match="extra"):
        del batch.extra
    for other in (copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert type(other) is Batch and other.more == 2 and other.text_vec.shape == (2, 3)
    assert batch.to("cpu").text_vec.shape == (2, 3)
    assert AttrDict({"value": -1}).value == -1
