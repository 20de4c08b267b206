"""
The same properties on inputs that a coverage-guided fuzzer (atheris, libFuzzer) chooses.

    pip install --no-deps atheris==3.0.0
    python tests/fuzz/guided.py test_fuzz_logs.py::test_any_two_logs_compare -max_total_time=60

What begins with a dash goes to libFuzzer: -runs=N, -max_total_time=SECONDS. Not part of the tests.
pytest makes the property's fixtures, then libFuzzer takes over; it ends the process with an error
and a crash file at the first finding.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import atheris
import hypothesis
import pytest

# inputs long enough for a file or a conversation, from the start
LENGTHS = ("-len_control=0", "-max_len=600", "-rss_limit_mb=8192")


class Guided:
    """Calls a property with the inputs of atheris, in place of hypothesis."""

    def __init__(self, arguments: list[str]):
        self.arguments = arguments

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        fixtures = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        test = pyfuncitem.obj.hypothesis

        @hypothesis.given(**test._given_kwargs)
        def one_case(**generated):
            test.inner_test(**fixtures, **generated)

        arguments = [str(pyfuncitem.path), *LENGTHS, *self.arguments]
        atheris.Setup(arguments, one_case.hypothesis.fuzz_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    target, *arguments = sys.argv[1:]
    quiet = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    with atheris.instrument_imports(include=["p2bot_parlai"]):
        pytest.main([*quiet, str(Path(__file__).parent / target)], plugins=[Guided(arguments)])
