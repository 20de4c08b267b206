"""What an earlier version saved loads, trains on, and gives the same digits (see make.py)."""

import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
# processors round differently; a run on the one that wrote the file is equal to the last digit
SAME = {"rel": 1e-4, "abs": 1e-6}


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("golden_make", HERE / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def models(make, tmp_path_factory):
    return make.copy_to(tmp_path_factory.mktemp("golden"))


def test_saved_models_say_what_they_said(make, models):
    found = make.said(models)
    assert found.keys() == EXPECTED.keys() - {make.STOPPED}
    for name, report in found.items():
        for metric, value in EXPECTED[name].items():
            if isinstance(value, float):
                assert report[metric] == pytest.approx(value, **SAME), (name, metric)
            else:
                assert report[metric] == value, (name, metric)


def test_a_stopped_run_trains_on_to_the_same_weights(make, models):
    found, expected = make.trained_on(models), EXPECTED[make.STOPPED]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, **SAME), name
