"""``parlai p2bot_completion``: the script is run in bash, as Tab would."""

import subprocess

import pytest

from p2bot_parlai import completion
from p2bot_parlai.errors import P2botError
from p2bot_parlai.scripts.p2bot_completion import P2botCompletion

TAB = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
$(complete -p parlai | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "parlai"
    P2botCompletion.main(outfile=str(path))
    return path


def tab(script, *words) -> set[str]:
    """What bash offers for the last word."""
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", TAB, "bash", str(script), "parlai", *words],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert not done.stderr and done.returncode == 0
    return set(done.stdout.split())


def test_sub_commands(script):
    assert {"export_hf", "import_original", "train_model", "interactive"} <= tab(script, "")
    assert tab(script, "export") == {"export_hf"}


def test_options_of_ours_and_of_parlai(script):
    assert tab(script, "train_model", "--context") == {"--context-style"}
    assert tab(script, "train_model", "--tau-") == {"--tau-start", "--tau-end"}
    assert {"-m", "-mf", "-t"} <= tab(script, "eval_model", "-")
    assert "--transmitter" in tab(script, "import_original", "--")
    assert "--transmitter" not in tab(script, "export_hf", "--")


def test_values(script, tmp_path):
    assert tab(script, "train_model", "--context-style", "") == {"append", "original"}
    assert tab(script, "train_model", "--packed", "t") == {"true"}
    assert tab(script, "train_model", "-m", "p2bot/t") == {"p2bot/transmitter"}
    assert "p2bot/paper_selfplay" in tab(script, "train_model", "-o", "p2bot/paper_s")
    (tmp_path / "model.file").touch()
    assert tab(script, "eval_model", "-mf", f"{tmp_path}/mod") == {f"{tmp_path}/model.file"}


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_shell_has_a_script_that_names_our_commands(shell):
    written = completion.write(shell)
    assert "import_original" in written and "context-style" in written


def test_it_is_printed_where_no_file_is_named(capsys, monkeypatch):
    monkeypatch.setattr(completion, "write", lambda shell: f"for {shell}")
    P2botCompletion.main(shell="fish")
    assert capsys.readouterr().out == "for fish\n"


def test_without_shtab_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    with pytest.raises(P2botError, match=r"pip install 'p2bot-parlai\[completion\]'"):
        completion.write("bash")


def test_a_file_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(completion, "write", lambda shell: "")
    with pytest.raises(P2botError, match="--outfile .*none/file: No such file"):
        P2botCompletion.main(outfile=str(tmp_path / "none" / "file"))
