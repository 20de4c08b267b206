"""The list of what the coverage-guided fuzzer can run is complete."""

import importlib

import guided


def test_every_property_is_a_target_with_its_share():
    names = {path.stem for path in guided.HERE.glob("test_fuzz_*.py")}
    properties = {
        f"{name}.py::{test}"
        for name in names
        for test, function in vars(importlib.import_module(name)).items()
        if test.startswith("test_") and hasattr(function, "hypothesis")
    }
    assert properties and set(guided.targets()) == properties
    one_in_ten = "test_fuzz_human_eval.py::test_a_log_takes_ratings_that_can_be_read_again"
    assert guided.targets(one_in_ten) == {one_in_ten: 0.1}
    assert set(guided.targets("test_fuzz_nli.py").values()) == {1.0}
    assert guided.targets("test_fuzz_nothing.py") == {}
