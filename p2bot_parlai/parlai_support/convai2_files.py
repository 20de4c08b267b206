"""
Clear errors for a ConvAI2 folder that ParlAI would delete, overwrite or fail to read, and for
lines that break its readers of ConvAI2's format (fbdialog) and of its own, in runs with an agent
or task of ours.

ParlAI reads the files as ever; only where that fails is a file read again, to name the line.
"""

import gc
import os
import shlex
from codecs import BOM_UTF8
from collections.abc import Iterator

import parlai.tasks.convai2.agents as convai2
import parlai.tasks.convai2.build as convai2_build
from parlai.core.build_data import built
from parlai.core.opt import Opt
from parlai.core.teachers import FbDeprecatedDialogTeacher, ParlAIDialogTeacher

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import read_text
from p2bot_parlai.parlai_support.ours import concerns_us
from p2bot_parlai.parlai_support.patching import Patch

FOLDER = "ConvAI2"
VERSION = "v5.0"  # parlai/tasks/convai2/build.py:28, a local variable there
NO_CANDS = "_no_cands"
TAIL_BYTES = 65536  # more than the longest line: about 20 candidates of 200 characters


def install() -> None:
    """Check before ParlAI's convai2 task builds or opens anything."""
    Patch(convai2, "_path", with_sound_file).apply()
    Patch(FbDeprecatedDialogTeacher, "setup_data", with_sound_lines).apply()
    Patch(ParlAIDialogTeacher, "_setup_data", with_sound_text).apply()


def home_of(opt: Opt) -> str:
    """The folder of the ConvAI2 files."""
    return os.path.join(opt["datapath"], FOLDER)


def with_sound_file(stock):
    """ParlAI's path of a fold's file, once the file is known to be sound."""

    def _path(opt: Opt, persona: str, use_cands: bool) -> str:
        if not concerns_us(opt):
            return stock(opt, persona, use_cands)
        build(opt)
        path = stock(opt, persona, use_cands)
        check_file(path)
        return path

    return _path


def build(opt: Opt) -> None:
    """
    Download ConvAI2 where it is not there yet.

    :raises P2botError: where that fails, or would delete or overwrite files.
    """
    home = home_of(opt)
    if built(home, VERSION):
        return
    check_deletion(home)
    try:
        convai2_build.build(opt)
    except (OSError, RuntimeError) as error:  # those of requests are OSErrors
        error.__traceback__ = None
        gc.collect()  # ends the download's progress bar now, not below our line
        first_line = str(error).split("\n")[0][:200]
        raise P2botError(
            f"ConvAI2 could not be downloaded ({first_line}): put its .txt files into "
            f"{home} and mark the folder with: {_mark_command(home)}; or name a data folder "
            "that has them with --datapath"
        ) from error
    except AssertionError as error:
        raise P2botError(
            f"the download of ConvAI2 is damaged: delete "
            f"{os.path.join(home, convai2_build.RESOURCES[0].file_name)} and try again"
        ) from error


def check_deletion(home: str) -> None:
    """
    :raises P2botError: where ParlAI would delete the folder, or overwrite files in it.
    """
    mark = os.path.join(home, ".built")
    if os.path.exists(mark):
        with open(mark, encoding="utf-8", errors="replace") as file:
            version = "".join(file.read().split("\n")[1:2]) or "no version"
        raise P2botError(
            f"{mark} names {version} where ParlAI expects {VERSION}: ParlAI would now delete "
            f"{home} and download it again. If its files are good, mark them with: "
            f"{_mark_command(home)}; else move the folder away yourself"
        )
    if os.path.isdir(home) and any(name.endswith(".txt") for name in os.listdir(home)):
        raise P2botError(
            f"{home} has files but no .built: ParlAI would download over them. If they are "
            f"complete, mark them with: {_mark_command(home)}; else move the folder away"
        )


def check_file(path: str) -> None:
    """:raises P2botError: for a file that is missing, empty, cut short or not ConvAI2's."""
    name, home = os.path.basename(path), os.path.dirname(path)
    if not os.path.exists(path):
        raise P2botError(
            f"{path} is not there: put it there, or choose --task and --datatype by the files "
            f"that are ({', '.join(_like(name, home)) or 'none'})"
        )
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(max(0, os.path.getsize(path) - TAIL_BYTES))
        last = file.read().rstrip().rpartition(b"\n")[2]
    if not start:
        raise P2botError(f"{path} is empty: replace it with a complete copy")
    check_mark(path)
    if start != b"1 ":
        raise P2botError(f"{path} is not a ConvAI2 file: its first line has no number 1")
    if b"\t" not in last:  # what is cut behind the reply is found line by line
        raise P2botError(
            f"{path} is cut short, its last line has no reply: replace it with a complete copy"
        )


def check_mark(path: str) -> None:
    """:raises P2botError: for a byte order mark, which ParlAI's readers take for text."""
    with open(path, "rb") as file:
        marked = file.read(len(BOM_UTF8)) == BOM_UTF8
    if marked:
        raise P2botError(
            f"{path} begins with a byte order mark (BOM): save it as UTF-8 without one, or run: "
            rf"sed -i '1s/^\xEF\xBB\xBF//' {shlex.quote(path)}"
        )


def _like(name: str, home: str) -> list[str]:
    """The files that have candidates where ``name`` has them, and none where it has none."""
    bare = NO_CANDS in name
    return sorted(n for n in os.listdir(home) if n.endswith(".txt") and (NO_CANDS in n) == bare)


def _mark_command(home: str) -> str:
    return rf"printf '\n{VERSION}' > {shlex.quote(os.path.join(home, '.built'))}"


# ------------------------------------------------------------------------------- lines
MOST_FIELDS = 4  # text, label, reward, candidates; a fifth would be a picture to load
NUMBERS = "each line begins with its number, and a reward (the third field) is a number"
FIELDS = "text, label, reward and candidates, with a tab between them, are all fields"
LABEL = "its first label is not among its candidates"


def with_sound_lines(stock):
    """ParlAI's reader of fbdialog, which names a line that it cannot read."""

    def setup_data(self, path: str) -> Iterator[tuple[list, bool]]:
        return _checked(stock(self, path), path) if concerns_us(self.opt) else stock(self, path)

    return setup_data


def _checked(examples: Iterator[tuple[list, bool]], path: str) -> Iterator[tuple[list, bool]]:
    """:raises P2botError: for a line of another format, by its number; for no turns."""
    empty = True
    try:
        for example, starts in examples:
            empty = False
            if example[1] and _fault(example):
                raise ValueError
            yield example, starts
    except (ValueError, OverflowError) as error:
        raise P2botError(f"{path}{_first_fault(path)}") from error
    if empty:
        raise P2botError(f"{path} has no turns: what is said, a tab, and the reply")


def _fault(fields: list) -> str | None:
    """What is wrong with an example. :param fields: labels and candidates as lists."""
    if len(fields) > MOST_FIELDS:
        return FIELDS
    if len(fields) == MOST_FIELDS and fields[1][0] not in fields[3]:
        return LABEL
    return None


def _first_fault(path: str) -> str:
    """
    Where ParlAI's reader fails, and why.

    :raises P2botError: where the file is not UTF-8, by its line.
    """
    check_mark(path)
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        first, _, rest = line.strip().partition(" ")
        fields = [field.strip() for field in rest.split("\t")]
        said = fields[1:2] not in ([], [""])  # else it only opens an episode
        try:
            _ = first and (int(first), float("".join(fields[2:3]) or 0))
            fault = said and _fault([field.split("|") for field in fields])
        except ValueError:
            fault = NUMBERS
        if fault:
            return f", line {number}: {fault}"
    return f": {NUMBERS}"


def with_sound_text(stock):
    """ParlAI's reader of its own format; what breaks it names the line, but is a traceback."""

    def _setup_data(self, path: str) -> None:
        if not concerns_us(self.opt):
            stock(self, path)
            return
        try:
            stock(self, path)
        except ValueError as error:
            check_mark(path)
            read_text(path)  # says where it is not UTF-8
            raise P2botError(str(error)) from error

    return _setup_data
