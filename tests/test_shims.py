"""Each shim: the break is gone, and nothing changes where there is none."""

import copy
import gc
import pickle
import subprocess
import sys
import weakref

import parlai.nn.lr_scheduler as schedulers
import parlai.utils.distributed as distributed
import pytest
import tiny
import torch
import torch.distributed as dist
from convai2_files import write_convai2
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.scripts.build_dict import BuildDict

from p2bot_parlai.parlai_support.batches import Batch


def test_the_default_scheduler_can_be_built_and_lowers_the_rate():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedulers.ReduceOnPlateauLRScheduler(optimizer, 0, 0.5, -1, 1e-4)
    for loss in (1.0, 2.0):
        scheduler.valid_step({"loss": loss})
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_gloo_group_of_one(tmp_path):
    opt = Opt(distributed_world_size=1)
    threads, hook = torch.get_num_threads(), sys.excepthook
    wrap = torch.nn.parallel.DistributedDataParallel.__init__
    with distributed.distributed_context(0, opt, init_method=f"file://{tmp_path}/group") as own:
        assert dist.get_backend() == "gloo"
        assert (own["rank"], own["gpu"], own["override"]["gpu"]) == (0, -1, -1)
        assert distributed.all_gather_list("x") == ["x"]
        assert sys.excepthook is hook
        # ParlAI's agents always name a GPU
        torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1), device_ids=[-1])
    assert "gpu" not in opt
    assert not dist.is_initialized()
    assert torch.get_num_threads() == threads
    assert torch.nn.parallel.DistributedDataParallel.__init__ is wrap


def test_no_number_of_processes_is_an_error_that_names_the_flag():
    with (
        pytest.raises(ValueError, match="--distributed-world-size"),
        distributed.distributed_context(0, Opt(distributed_world_size=0)),
    ):
        pass


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
    BuildDict.main(task="convai2", datapath=data, dict_file=model + ".dict")
    steps = ["--max-train-steps", "4", "-vstep", "2", "-vme", "8"]
    two = ["--distributed-world-size", "2"]
    task += ["-mf", model, "--skip-generation", "true"]
    log = parlai("multiprocessing_train", *two, *task, *stock, *steps, "-vmt", "ppl")
    assert "token_acc" in log
    assert "broadcast_buffers" not in log
    assert "token_acc" in parlai("multiprocessing_eval", *two, *task, "-dt", "valid")


def test_training_an_agent_of_ours_writes_nothing_beside_the_data(tmp_path):
    """A read-only data folder must do, also where a dictionary is built from it."""
    data = tmp_path / "data"
    write_convai2(data)
    before = sorted(data.rglob("*"))
    tiny.train(data, tmp_path / "model", max_train_steps=1)
    assert sorted(data.rglob("*")) == before


def test_a_batch_of_our_agents_is_freed_when_nobody_has_it_any_more(bot):
    """With the garbage collector off: nothing of a batch refers to the batch."""
    seen = bot.clone().observe(Message({"text": "hello", "labels": ["hi"], "episode_done": True}))
    gc.disable()
    try:
        batch = bot.batchify([seen])
        held = weakref.ref(batch.text_vec)
        assert batch["text_vec"] is batch.text_vec is held()
        del batch
        assert held() is None
    finally:
        gc.enable()


def test_our_batches_are_read_changed_and_copied_as_parlais():
    batch = Batch(batchsize=2, text_vec=torch.ones(2, 3), is_training=False)
    assert batch.batchsize == batch["batchsize"] == 2 and batch.labels is None
    batch.extra = 1
    batch["more"] = 2
    batch.extra += 1
    assert (batch["extra"], batch.more) == (2, 2)
    with pytest.raises(AttributeError, match="other"):
        _ = batch.other
    for other in (copy.copy(batch), pickle.loads(pickle.dumps(batch)), batch.to("cpu")):
        assert type(other) is Batch and other.more == 2 and other.text_vec.shape == (2, 3)
