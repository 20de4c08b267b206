"""Who may import whom: each folder only from the floors below, imports inside functions too."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# from the ground up; folders on one floor do not know each other
FLOORS = (
    {"errors"},
    {"method"},
    {"metrics"},
    {"parlai_support"},
    {"agents"},
    {"chat"},
    {"tasks", "zoo"},
    {"tools"},
    {"scripts"},
    {"plugin"},
)
FLOOR = {folder: height for height, folders in enumerate(FLOORS) for folder in folders}
PACKAGE = "p2bot_parlai"
# the package itself hands out P2Bot, when it is first asked for
FRONT_DOOR = (PACKAGE, f"{PACKAGE}.chat.api")


def modules() -> dict[str, Path]:
    """Dotted name -> file, as installed: tasks/ and zoo/ stand beside the package here."""
    found = {}
    for folder, name in (
        (PACKAGE, PACKAGE),
        ("tasks", f"{PACKAGE}.tasks"),
        ("zoo", f"{PACKAGE}.zoo"),
    ):
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([name, *parts]).removesuffix(".__init__")] = file
    return found


MODULES = modules()


def imports(name: str) -> set[str]:
    """The modules of ours that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: imports are absolute here"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & MODULES.keys()) or {node.module}
    return {target for target in found if target.split(".")[0] == PACKAGE} - {PACKAGE}


IMPORTS = {name: imports(name) for name in MODULES}


def folder(name: str) -> str:
    return name.split(".")[1]


def test_imports_only_go_down():
    wrong = [
        f"{name} -> {target}"
        for name, targets in IMPORTS.items()
        for target in targets
        if name not in (PACKAGE, f"{PACKAGE}.__main__")
        and folder(name) != folder(target)
        and FLOOR[folder(name)] <= FLOOR[folder(target)]
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_no_circle():
    graph = {name: set(targets) for name, targets in IMPORTS.items()}
    graph[FRONT_DOOR[0]].discard(FRONT_DOOR[1])
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_the_front_door_stands_at_the_root():
    assert {folder(name) for name in MODULES if name != PACKAGE} == FLOOR.keys() | {"__main__"}


def test_method_and_metrics_import_without_parlai():
    wanted = [name for name in MODULES if name.split(".")[1:2] in (["method"], ["metrics"])]
    code = (
        "import sys; sys.modules['parlai'] = None\n"  # `import parlai` is an ImportError now
        f"import importlib\nfor name in {wanted!r}: importlib.import_module(name)\n"
        "assert not any(name.startswith('parlai.') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "tests")
