"""The same seed, machine and number of threads: the same weights and figures, bit for bit."""

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


@pytest.fixture(params=["supervised", "supervised, decoding", "receiver", "self-play"])
def options(request, convai2, tiny_model, tiny_receiver, tmp_path) -> dict:
    """Of a run of a stage, with dropout and everything else that is drawn."""
    if request.param == "receiver":
        data = people.write_people(tmp_path / "data")
        return people.options(data, "", **RUN, one_sided_dropout=0.3, word_dropout=0.1)
    changes = {
        "supervised": {"skip_generation": True, "shuffle_persona": True, "dropout": 0.2},
        "supervised, decoding": {"inference": "multinomial", "label_truncate": 8},
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
    """The whole file of the model, optimizer included, and what was measured."""
    TrainModel.main(**{**options, "model_file": str(folder / "model")})
    measured = json.loads((folder / "model.trainstats").read_text())
    kept = ("train_reports", "valid_reports", "final_valid_report", "final_test_report")
    return torch.load(folder / "model", weights_only=True), {k: untimed(measured[k]) for k in kept}


def untimed(report):
    if isinstance(report, list):
        return [untimed(each) for each in report]
    return {k: v for k, v in report.items() if k.split("/")[-1] not in TIMED}


def assert_equal(one, other, where="model") -> None:
    """Of nested plain data: no difference at all."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            if key != "train_time":
                assert_equal(one[key], other[key], f"{where} {key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            assert_equal(first, second, f"{where} {number}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def test_two_runs_are_the_same_bit_for_bit(options, tmp_path):
    """In one process: nothing that the first leaves behind shall change the second."""
    one, first = train(options, tmp_path / "one")
    other, second = train(options, tmp_path / "other")
    assert first["train_reports"] and first["final_valid_report"]
    assert_equal(one, other)
    assert_equal(first, second, "reports")


def test_another_seed_is_another_run(convai2, tmp_path):
    """Or nothing would be drawn, and the test above show nothing."""
    options = tiny.options(convai2, "", **RUN, skip_generation=True)
    one, _ = train(options, tmp_path / "one")
    other, _ = train({**options, "seed": 8}, tmp_path / "other")
    assert any(not torch.equal(one["model"][n], other["model"][n]) for n in one["model"])
