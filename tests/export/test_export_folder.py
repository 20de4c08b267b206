"""An export is there whole or not at all, and takes nothing that is not its own."""

import json
import os

import pytest

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.export.folder import MANIFEST, new_folder


def export(out, **files):
    with new_folder(str(out)) as folder:
        for name, text in files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("there", [False, True])
def test_a_new_or_an_empty_folder_is_filled(tmp_path, there):
    out = tmp_path / "deep" / "out"
    if there:
        out.mkdir(parents=True)
    export(out, a="1", sub__b="2")
    assert names(out) == ["a", MANIFEST, "sub/b"]
    assert json.loads((out / MANIFEST).read_text())["files"] == ["a", "sub/b", MANIFEST]
    assert os.listdir(out.parent) == ["out"], "no temporary folder is left"


def test_an_earlier_export_is_replaced_and_strange_files_stay(tmp_path):
    out = tmp_path / "out"
    export(out, a="1", sub__b="2")
    (out / ".git").write_text("mine")
    export(out, a="3")
    assert names(out) == [".git", "a", MANIFEST]
    assert (out / "a").read_text() == "3" and (out / ".git").read_text() == "mine"


@pytest.mark.parametrize("name, text", [("notes.txt", "x"), (MANIFEST, "{}"), (MANIFEST, "[1")])
def test_what_is_no_export_is_left_alone(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(P2botError, match="--out .* is not an earlier export"):
        export(tmp_path, a="1")
    assert names(tmp_path) == [name]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(str(tmp_path / "out")) as folder:
        (folder / "a").write_text("half")
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    with pytest.raises(P2botError, match="--out .* cannot be written"):
        export(tmp_path / "file" / "out", a="1")
