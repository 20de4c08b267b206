"""
The same properties with inputs that a coverage-guided fuzzer (atheris, libFuzzer) finds.

    pip install --no-deps atheris==3.0.0
    python tests/fuzz/guided.py                                    # lists the targets
    python tests/fuzz/guided.py test_fuzz_nli.py --cases 100000    # shared out among its properties
    python tests/fuzz/guided.py test_fuzz_logs.py::test_any_two_logs_compare -max_total_time=60

A case is a call of the property: inputs of which hypothesis can make nothing are not counted, but
those that a property itself sets aside are. What begins with one dash goes to libFuzzer
(-max_total_time, a corpus folder). Not part of the tests. Each property has a process of its own:
pytest makes its fixtures, then libFuzzer takes over and ends the process, with an error and a
crash file at the first finding. Ends with 1 if there was one.
"""

import argparse
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import hypothesis
import pytest

HERE = Path(__file__).parent
# @cases(25, share=0.1) or @any_bytes, and the test that it stands over
PROPERTY = re.compile(
    r"^@(?:any_bytes|cases\(\d*(?:, )?(?:share=([\d.]+))?\)).*?^def (test_\w+)\(", re.M | re.S
)
# inputs long enough for a file or a conversation, from the start
LENGTHS = ("-len_control=0", "-max_len=600", "-rss_limit_mb=8192")


def targets(name: str = "") -> dict[str, float]:
    """Every property with a generated input -> its share; of one file, or one, by ``name``."""
    found = {}
    for file in sorted(HERE.glob("test_fuzz_*.py")):
        for share, test in PROPERTY.findall(file.read_text(encoding="utf-8")):
            found[f"{file.name}::{test}"] = float(share or 1)
    return {t: share for t, share in found.items() if not name or name in (t, t.split("::")[0])}


class Guided:
    """Calls a property by what atheris finds, in place of hypothesis."""

    def __init__(self, cases: int, arguments: list[str]):
        self.cases, self.arguments, self.calls = cases, arguments, 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        import atheris

        fixtures = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        # the fixtures are given here, and all that is generated comes from the input
        test = pyfuncitem.obj.hypothesis
        start = time.monotonic()

        @hypothesis.given(**test._given_kwargs)
        def one_case(**generated):
            if self.calls == self.cases:
                took = time.monotonic() - start
                print(f"{self.calls} cases, no finding, {took:.0f} s", file=sys.stderr, flush=True)
                os._exit(0)
            self.calls += 1
            test.inner_test(**fixtures, **generated)

        fuzz = one_case.hypothesis.fuzz_one_input
        atheris.Setup([str(pyfuncitem.path), *LENGTHS, *self.arguments], fuzz)
        atheris.Fuzz()
        return True


def one(target: str, cases: int, arguments: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["p2bot_parlai"]):
        import p2bot_parlai.chat.api  # noqa: F401
        import p2bot_parlai.plugin

        p2bot_parlai.plugin.register()
        quiet = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
        return pytest.main([*quiet, str(HERE / target)], plugins=[Guided(cases, arguments)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("target", nargs="?", default="", help="a file, or file::property")
    parser.add_argument("--cases", type=int, default=-1, help="in all; without it: until stopped")
    options, arguments = parser.parse_known_args()
    shares = targets(options.target)
    if not options.target:
        print("\n".join(shares))
        return 0
    if not shares:
        parser.error(f"no target {options.target}: without a target they are listed")
    if len(shares) == 1:
        return one(options.target, options.cases, arguments)
    if options.cases < 0:
        parser.error("all properties of a file need --cases")
    failed = []
    for target, share in shares.items():
        count = math.ceil(options.cases * share / sum(shares.values()))
        command = [sys.executable, __file__, target, "--cases", str(count), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        *_, last = ["", *ended.stderr.splitlines()]
        if ended.returncode or "no finding" not in last:
            failed.append(target)
            print(ended.stdout[-8000:], ended.stderr[-2000:], sep="\n")
            last = f"FAILED with {ended.returncode}"
        print(target, last, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
