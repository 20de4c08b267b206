"""
The same properties with inputs that a coverage-guided fuzzer (atheris, libFuzzer) finds.

    pip install -c constraints.txt atheris
    python tests/fuzz/guided.py                                    # lists the targets
    python tests/fuzz/guided.py test_fuzz_logs.py::test_world_logs_are_read_or_refused -runs=100000

What stands behind the target goes to libFuzzer (-runs, -max_total_time, a corpus folder). Not
part of the tests. pytest makes the target's fixtures; then libFuzzer takes over and ends the
process, with an error and a crash file at the first finding.
"""

import os
import re
import sys
from pathlib import Path

import hypothesis
import pytest

HERE = Path(__file__).parent
PROPERTY = re.compile(r"^def (test_\w+)\(", re.M)


def targets() -> list[str]:
    """Every test with a generated input."""
    found = []
    for file in sorted(HERE.glob("test_fuzz_*.py")):
        for part in file.read_text(encoding="utf-8").split("@cases(")[1:]:
            found.append(f"{file.name}::{PROPERTY.search(part)[1]}")
    return found


class Guided:
    """Calls a property by what atheris finds, in place of hypothesis."""

    def __init__(self, arguments: list[str]):
        self.arguments = arguments

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        import atheris

        fixtures = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        # the fixtures are given here, and all that is generated comes from the input
        test = pyfuncitem.obj.hypothesis

        @hypothesis.given(**test._given_kwargs)
        def one_case(**generated):
            test.inner_test(**fixtures, **generated)

        fuzz = one_case.hypothesis.fuzz_one_input
        atheris.Setup([str(pyfuncitem.path), *self.arguments], fuzz)
        atheris.Fuzz()
        return True


def main(target: str, *arguments: str) -> int:
    import atheris

    with atheris.instrument_imports(include=["p2bot_parlai"]):
        import p2bot_parlai.api  # noqa: F401
        import p2bot_parlai.plugin

        p2bot_parlai.plugin.register()
        quiet = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
        return pytest.main([*quiet, str(HERE / target)], plugins=[Guided(list(arguments))])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if len(sys.argv) < 2:
        print("\n".join(targets()))
    else:
        sys.exit(main(*sys.argv[1:]))
