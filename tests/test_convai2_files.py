"""A ConvAI2 folder is never deleted, and what is wrong with it is said in one line."""

import os
import subprocess
import sys
import tarfile

import parlai.core.build_data as build_data
import parlai.tasks.convai2.agents as convai2_agents
import parlai.tasks.convai2.build as convai2_build
import pytest
import requests
from convai2_files import FOLDS, VERSION, write_convai2
from parlai.core.opt import Opt

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support import convai2_files
from p2bot_parlai.parlai_support.dialogues import read_dialogues

TEACHERS = {
    "self_original": convai2_agents.SelfOriginalTeacher,
    "self_revised": convai2_agents.SelfRevisedTeacher,
    "both_original": convai2_agents.BothTeacher,
    "none_original": convai2_agents.NoneTeacher,
}


@pytest.fixture
def home(tmp_path):
    write_convai2(tmp_path, dialogues=2)
    return tmp_path / "ConvAI2"


def files_of(home):
    return {path.name: path.read_bytes() for path in home.iterdir()}


def load(home, kind="self_original", fold="train", cands=True):
    task = f"convai2:{kind}" + ("" if cands else ":no_cands")
    opt = {"task": task, "datatype": fold, "datapath": str(home.parent), "model": "p2bot"}
    return TEACHERS[kind](opt)


def refuse(home, *said, **which):
    """Loading fails with one line that says all this; and nothing in the folder changes."""
    before = files_of(home)
    with pytest.raises(P2botError) as error:
        load(home, **which)
    message = str(error.value)
    assert "\n" not in message
    for text in said:
        assert str(text) in message, message
    assert files_of(home) == before


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("kind", TEACHERS)
@pytest.mark.parametrize("cands", [True, False])
def test_a_sound_folder_is_read_as_ever(home, kind, fold, cands):
    name = f"{fold}_{kind}{'' if cands else '_no_cands'}.txt"
    for end in ("\n", ""):  # the real files have no newline at their end
        text = (home / name).read_text().strip()
        (home / name).write_text(text + end)
        assert load(home, kind, fold, cands).num_examples() == 8


def test_parlai_still_expects_the_version_that_we_guard(home, monkeypatch):
    asked = []
    monkeypatch.setattr(build_data, "built", lambda *args: asked.append(args) or True)
    convai2_build.build({"datapath": str(home.parent)})
    assert asked == [(str(home), VERSION)] == [(str(home), convai2_files.VERSION)]


@pytest.mark.parametrize("mark", ["2020-01-01\nv4.0", "2020-01-01", "", f"{VERSION}\n"])
def test_a_folder_of_another_version_is_refused_before_it_is_deleted(home, monkeypatch, mark):
    monkeypatch.setattr(build_data, "remove_dir", pytest.fail)
    (home / ".built").write_text(mark)
    version = "v4.0" if "v4.0" in mark else "no version"
    refuse(home, home, version, VERSION, "delete", "printf")


def test_files_without_a_mark_are_not_downloaded_over(home, monkeypatch):
    monkeypatch.setattr(build_data, "download", pytest.fail)
    (home / ".built").unlink()
    refuse(home, home, "no .built", "printf")


def test_the_remedy_for_the_mark_works(home):
    (home / ".built").unlink()
    with pytest.raises(P2botError) as error:
        load(home)
    command = str(error.value).partition("with: ")[2].partition(";")[0]
    subprocess.run(command, shell=True, check=True)
    assert load(home).num_examples() == 8


def test_a_missing_file_is_named_with_those_that_are_there(home):
    (home / "train_self_revised.txt").unlink()
    refuse(home, home / "train_self_revised.txt", "valid_self_revised.txt", kind="self_revised")
    assert load(home, "self_revised", "valid").num_examples() == 8


@pytest.mark.parametrize("end", ["5 hello , how", "1 your persona: i am a", "5 hi there .\n"])
def test_a_file_that_ends_before_a_reply_is_cut_short(home, end):
    path = home / "train_self_original.txt"
    path.write_text(path.read_text() + end)
    refuse(home, path, "is cut short")


def test_an_empty_file_is_named(home):
    (home / "train_none_original.txt").write_text("")
    refuse(home, home / "train_none_original.txt", "is empty", kind="none_original")


def test_something_else_in_a_files_place_is_named(home):
    (home / "train_self_original.txt").write_text("<html>\n<p>Not found</p>\n</html>\n")
    refuse(home, home / "train_self_original.txt", "is not a ConvAI2 file")


@pytest.mark.parametrize(
    "broken",
    [
        requests.exceptions.ConnectionError("no route to host\nat all"),
        requests.exceptions.ChunkedEncodingError("cut"),
        RuntimeError("Connection broken too many times. Stopped retrying."),
        PermissionError("read-only"),
    ],
)
def test_no_network_says_where_the_files_belong(tmp_path, monkeypatch, broken):
    def download(*args, **kwargs):
        raise broken

    monkeypatch.setattr(build_data, "download", download)
    with pytest.raises(P2botError) as error:
        load(tmp_path / "ConvAI2")
    message = str(error.value)
    assert "\n" not in message
    for text in (tmp_path / "ConvAI2", str(broken).split("\n")[0], ".built", "--datapath"):
        assert str(text) in message


def test_an_archive_with_a_path_out_of_the_folder_is_not_unpacked(tmp_path, monkeypatch):
    """ParlAI's untar follows such paths; the checksum comes before it."""

    def download(url, folder, name):
        with tarfile.open(os.path.join(folder, name), "w:gz") as archive:
            for path in ("../outside", str(tmp_path / "absolute")):
                archive.addfile(tarfile.TarInfo(path))

    monkeypatch.setattr(build_data, "download", download)
    with pytest.raises(P2botError, match="damaged"):
        load(tmp_path / "ConvAI2")
    assert not (tmp_path / "outside").exists() and not (tmp_path / "absolute").exists()
    name = convai2_build.RESOURCES[0].file_name
    build_data.untar(str(tmp_path / "ConvAI2"), name)
    assert (tmp_path / "outside").exists()  # or the test would show nothing


def test_a_good_download_is_unpacked_and_marked(tmp_path, monkeypatch):
    def download_file(self, folder):
        write_convai2(tmp_path, dialogues=2)
        (tmp_path / "ConvAI2" / ".built").unlink()

    monkeypatch.setattr(build_data.DownloadableFile, "download_file", download_file)
    assert load(tmp_path / "ConvAI2").num_examples() == 8
    assert (tmp_path / "ConvAI2" / ".built").read_text().endswith(VERSION)


def test_other_agents_read_the_folder_as_without_us(home, monkeypatch):
    """Also where that means that ParlAI deletes it."""
    opt = {
        "task": "convai2",
        "datatype": "train",
        "datapath": str(home.parent),
        "model": "ir_baseline",
    }
    (home / "train_self_original.txt").write_text("1 a\tb\t\tc\n")
    assert convai2_agents.SelfOriginalTeacher(opt).num_examples() == 1
    (home / ".built").write_text("2020-01-01\nv4.0")
    removed = []
    monkeypatch.setattr(build_data, "remove_dir", removed.append)
    monkeypatch.setattr(build_data.DownloadableFile, "download_file", lambda *args: None)
    convai2_agents.SelfOriginalTeacher(opt)
    assert removed == [str(home)]


def test_a_task_of_ours_that_reads_the_folder_is_told_whatever_the_agent(home):
    (home / "train_self_original.txt").unlink()
    with pytest.raises(P2botError, match="train_self_original.txt is not there"):
        read_dialogues(Opt({"datapath": str(home.parent)}), "convai2:self_original", "train")


@pytest.mark.parametrize(
    "line, why",
    [
        ("x a\tb", "each line begins with its number"),
        ("2 a\tb\tmuch", "a reward (the third field) is a number"),
        ("2 a\tb\t\tc|d", "its first label is not among its candidates"),
        ("2 a\tb\t\tb|c\tpicture.png", "are all fields"),
        ("2 caf\udce9\tb", "not UTF-8"),
    ],
)
def test_a_line_of_another_format_is_named_by_its_number(home, line, why):
    path = home / "train_self_original.txt"
    text = f"1 hello\thi\t\thi|no\n{line}\n3 and\tso on\t\tso on|no\n"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    refuse(home, f"{path}, line 2: ", why)


@pytest.mark.slow
def test_the_command_prints_one_line(home):
    (home / "train_self_original.txt").unlink()
    command = [sys.executable, "-m", "p2bot_parlai", "display_data", "-m", "p2bot", "-t", "convai2"]
    done = subprocess.run(
        [*command, "-dp", str(home.parent)], capture_output=True, text=True, timeout=120
    )
    last = done.stderr.strip().split("\n")[-1]
    assert done.returncode == 1
    assert last.startswith("p2bot: error: ") and "train_self_original.txt is not there" in last
    assert "Traceback" not in done.stderr
