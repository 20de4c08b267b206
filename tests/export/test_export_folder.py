"""An export is there whole or not at all, and takes nothing that is not its own."""

import os

import pytest

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.export.folder import new_folder


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
    assert names(out) == ["a", "sub/b"]
    assert os.listdir(out.parent) == ["out"], "no temporary folder is left"


@pytest.mark.parametrize("there", ["out/notes.txt", "out"])
def test_what_is_there_is_left_alone(tmp_path, there):
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("x")
    with pytest.raises(P2botError, match="--out .*out exists: name a new or an empty folder"):
        export(tmp_path / "out", a="1")
    assert names(tmp_path) == [there]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(str(tmp_path / "out")) as folder:
        (folder / "a").write_text("half")
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    with pytest.raises(P2botError, match="--out .* cannot be written"):
        export(tmp_path / "file" / "out", a="1")
