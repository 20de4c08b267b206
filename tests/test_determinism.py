"""Same seed, machine and number of threads: same weights and metrics, bit for bit."""

import json

import people
import pytest
import tiny
import torch
from parlai.scripts.train_model import TrainModel

# what the clock decides
TIMED = {"exps", "ups", "tps", "ltps", "ctps", "tpb", "gpu_mem", "train_time", "time"}
RUN = {"max_train_steps": 6, "batchsize": 3, "log_every_n_steps": 2, "learningrate": 1e-2}
RUN |= {"validation_every_n_steps": 3, "validation_max_exs": 6, "seed": 7}


@pytest.fixture(params=["supervised", "receiver", "self-play"])
def options(request, convai2, tiny_model, tiny_receiver, tmp_path) -> dict:
    """Of a run of one stage, with dropout and everything else that is random."""
    if request.param == "receiver":
        data = people.write_people(tmp_path / "data")
        return people.options(data, "", **RUN, one_sided_dropout=0.3, word_dropout=0.1)
    changes = {
        "supervised": {"shuffle_persona": True, "dropout": 0.2, "inference": "multinomial"},
        "self-play": {
            "task": "p2bot:selfplay,convai2:self_original",
            "evaltask": "convai2:self_original",
            "init_model": tiny_model,
            "receiver": tiny_receiver,
            "user_inference": "multinomial",
            "label_truncate": 8,
            "skip_generation": True,
        },
    }[request.param]
    return tiny.options(convai2, "", **{**RUN, **changes})


def train(options: dict, folder) -> tuple[dict, dict]:
    """The whole model file, optimizer included, and what was measured."""
    TrainModel.main(**{**options, "model_file": str(folder / "model")})
    measured = json.loads((folder / "model.trainstats").read_text())
    kept = ("train_reports", "valid_reports", "final_valid_report", "final_test_report")
    saved = torch.load(folder / "model", weights_only=True)
    return plain(saved), {name: plain(measured[name]) for name in kept}


def plain(found):
    """Nested numbers, without those that the clock decides."""
    if isinstance(found, dict):
        kept = {k: v for k, v in found.items() if str(k).split("/")[-1] not in TIMED}
        return {k: plain(v) for k, v in kept.items()}
    if isinstance(found, list | tuple):
        return [plain(each) for each in found]
    return found.tolist() if isinstance(found, torch.Tensor) else found


def test_two_runs_are_the_same_bit_for_bit(options, tmp_path):
    """In one process: nothing the first leaves behind changes the second."""
    one, first = train(options, tmp_path / "one")
    other, second = train(options, tmp_path / "other")
    assert first["train_reports"] and first["final_valid_report"]
    assert one == other
    assert first == second


def test_another_seed_is_another_run(convai2, tmp_path):
    """Otherwise the test above would show nothing."""
    options = tiny.options(convai2, "", **RUN, skip_generation=True)
    one, _ = train(options, tmp_path / "one")
    other, _ = train({**options, "seed": 8}, tmp_path / "other")
    assert one["model"] != other["model"]
