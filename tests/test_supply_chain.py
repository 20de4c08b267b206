"""What is installed beside us: its versions, hashes and licences are written down and agree."""

import re
import runpy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
lock = runpy.run_path(str(ROOT / ".ci/lock.py"))
licenses = runpy.run_path(str(ROOT / "docs/licenses.py"))
PINS = lock["pins"]()


def table() -> dict[str, tuple[str, str]]:
    """Package -> (version, licence) of docs/licenses.md."""
    text = (ROOT / "docs/licenses.md").read_text(encoding="utf-8").partition("## Weights")[0]
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", text, re.M)
    return {name: found for name, *found in rows if name != "package"}


def test_every_pinned_file_has_a_hash():
    """`make lock` makes them anew."""
    lines = lock["LOCK"].read_text().splitlines()[2:]
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    wanted = {name: pin for name, pin in PINS.items() if name not in lock["BY_VERSION"]}
    assert lock["pins"](lock["LOCK"]) == wanted


def test_the_licence_of_every_package_is_listed():
    """`make docs` lists them anew."""
    assert {name: found[0] for name, found in table().items()} == PINS


@pytest.mark.parametrize("name", PINS)
def test_the_licence_is_what_the_package_says(name):
    try:
        installed = version(name).partition("+")[0]
    except PackageNotFoundError:
        pytest.fail(f"{name} is pinned and not installed: drop it from constraints.txt")
    if installed == PINS[name]:
        assert table()[name][1] == licenses["licence"](name)


def test_all_weights_that_ship_or_have_a_preset_are_listed():
    from p2bot_parlai.method.backbones.packaged import ENCODERS, LANGUAGE_MODELS
    from p2bot_parlai.zoo.sketch import NAMES

    listed = " ".join(row[0] for row in licenses["WEIGHTS"])
    assert all(name in listed for name in (*ENCODERS, *LANGUAGE_MODELS, *NAMES))
