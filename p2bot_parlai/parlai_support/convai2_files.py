"""
Clear errors for a ConvAI2 folder that ParlAI would delete, overwrite or stumble over, and for
lines that its reader of ConvAI2's form (fbdialog) stumbles over.

The version mark, and the first and the last bytes of a file, tell enough before it is read. ParlAI
then reads as ever; only where it fails is the file read again, for the line.
"""

import gc
import os
import re
import shlex
from collections.abc import Iterator

import parlai.tasks.convai2.agents as convai2
import parlai.tasks.convai2.build as convai2_build
from parlai.core.build_data import built
from parlai.core.opt import Opt
from parlai.core.teachers import FbDeprecatedDialogTeacher

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.shims import _replace

FOLDER = "ConvAI2"
VERSION = "v5.0"  # parlai/tasks/convai2/build.py:28, a local variable there
NO_CANDS = "_no_cands"
# more than the longest line: about 20 candidates of 200 characters
TAIL_BYTES = 65536

_stock_build = convai2_build.build
_stock_path = convai2._path


def install() -> None:
    """Check before ParlAI's convai2 task builds or opens anything."""
    _replace(convai2_build, "build", build)
    _replace(convai2, "_path", _path)
    FbDeprecatedDialogTeacher.setup_data = setup_data


def home_of(opt: Opt) -> str:
    return os.path.join(opt["datapath"], FOLDER)


def build(opt: Opt) -> None:
    """ParlAI's build() of convai2, which downloads the files where they are not there yet."""
    home = home_of(opt)
    if built(home, VERSION):
        return
    check_deletion(home)
    try:
        _stock_build(opt)
    except (OSError, RuntimeError) as error:  # those of requests are OSErrors
        error.__traceback__ = None
        gc.collect()  # ends the download's progress bar now, not below our line
        raise P2botError(
            f"ConvAI2 could not be downloaded ({_first_line(error)}): put its .txt files into "
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
    :raises P2botError: where ParlAI would delete the folder, or write over files in it.
    """
    mark = os.path.join(home, ".built")
    if os.path.exists(mark):
        with open(mark, encoding="utf-8", errors="replace") as file:
            version = "".join(file.read().split("\n")[1:2]) or "no version"
        raise P2botError(
            f"{mark} names {version} where ParlAI expects {VERSION}: ParlAI would now delete "
            f"{home} and download it anew. If its files are good, mark them with: "
            f"{_mark_command(home)}; else move the folder away yourself"
        )
    if os.path.isdir(home) and any(name.endswith(".txt") for name in os.listdir(home)):
        raise P2botError(
            f"{home} has files but no .built: ParlAI would download over them. If they are "
            f"complete, mark them with: {_mark_command(home)}; else move the folder away"
        )


def _path(opt: Opt, persona: str, use_cands: bool) -> str:
    """ParlAI's path of a fold's file, once the file is known to be sound."""
    path = _stock_path(opt, persona, use_cands)
    check_file(path)
    return path


def check_file(path: str) -> None:
    """:raises P2botError: for a ConvAI2 file that is missing, empty, cut short or no such file."""
    name, home = os.path.basename(path), os.path.dirname(path)
    if not os.path.exists(path):
        raise P2botError(
            f"{path} is not there: put it there, or choose --task and --datatype by the files "
            f"that are ({', '.join(_like(name, home)) or 'none'})"
        )
    with open(path, "rb") as file:
        start = file.read(2)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
    if not size:
        raise P2botError(f"{path} is empty: replace it with a complete copy")
    if start != b"1 ":
        raise P2botError(f"{path} is no ConvAI2 file, its first line has no number 1: replace it")
    last = tail.rstrip().rpartition(b"\n")[2].decode("utf-8", errors="replace")
    ends_well = tail.endswith(b"\n") or _is_complete(last, cands=NO_CANDS not in name)
    if not ends_well or re.match(r"\d+ (your|partner's) persona:", last):
        raise P2botError(
            f"{path} is cut short, it ends with {_shortened(last)!r}: replace it with a "
            "complete copy"
        )


def _is_complete(line: str, cands: bool) -> bool:
    """Whether a line has all its parts: the label comes again as the last candidate."""
    match = re.fullmatch(r"\d+ [^\t]*\t([^\t]+)(?:\t[^\t]*\t([^\t]*))?", line)
    if not match:
        return False
    label, candidates = match.groups()
    return not cands or not set(label.split("|")).isdisjoint((candidates or "").split("|"))


def _like(name: str, home: str) -> list[str]:
    """The files that have candidates where ``name`` has them, and none where it has none."""
    bare = NO_CANDS in name
    return sorted(n for n in os.listdir(home) if n.endswith(".txt") and (NO_CANDS in n) == bare)


def _mark_command(home: str) -> str:
    return rf"printf '\n{VERSION}' > {shlex.quote(os.path.join(home, '.built'))}"


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0][:200]


def _shortened(line: str) -> str:
    return line if len(line) <= 40 else f"...{line[-40:]}"


MOST_FIELDS = 4  # text, label, reward, candidates; a fifth would be a picture to load
# teachers of other tasks may have pictures
TEXT_ALONE = ("parlai.tasks.convai2.", "parlai.tasks.fromfile.", "p2bot_parlai.")

_stock_setup_data = FbDeprecatedDialogTeacher.setup_data


def setup_data(self, path: str) -> Iterator[tuple[list, bool]]:
    """:raises P2botError: for a line that is none of this form, by its number; for no turns."""
    empty = True
    try:
        for example, starts in _stock_setup_data(self, path):
            empty = False
            if len(example) > MOST_FIELDS and type(self).__module__.startswith(TEXT_ALONE):
                raise P2botError(
                    f"{path}{_line_of(path, example)} has {len(example)} fields: text, label, "
                    "reward and candidates, with a tab between them, are all"
                )
            label = (example[1] or [None])[0] if len(example) == MOST_FIELDS else None
            if label is not None and label not in (example[3] or [label]):
                raise P2botError(
                    f"{path}{_line_of(path, example)}: its first label is not among its candidates"
                )
            yield example, starts
    except (ValueError, OverflowError) as error:
        raise P2botError(f"{path}{_first_bad_line(path)}: {_why(error)}") from error
    if empty:
        raise P2botError(f"{path} has no turns: what is said, a tab, and the reply")


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8; save it as UTF-8"
    return "each line begins with its number, and a reward (the third field) is a number"


def _lines(path: str) -> Iterator[tuple[int, str]]:
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.strip().replace("\\n", "\n")


def _first_bad_line(path: str) -> str:
    """Where the stock reader fails, tried line by line."""
    for number, line in _lines(path):
        if "\ufffd" in line and not _decodes(path, number):
            return f", line {number}"
        fields = line[line.find(" ") + 1 :].split("\t")
        try:
            int(line.partition(" ")[0])
            if len(fields) > 2 and fields[2].strip():
                float(fields[2])
        except ValueError:
            return f", line {number}"
    return ""


def _decodes(path: str, number: int) -> bool:
    with open(path, "rb") as file:
        content = file.read().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    try:
        content[number - 1].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _line_of(path: str, example: list) -> str:
    """The first line that ends as the example does."""
    text, labels, candidates = str(example[0]).split("\n")[-1], example[1], example[3]
    for number, line in _lines(path):
        fields = [field.strip() for field in line[line.find(" ") + 1 :].split("\t")]
        if len(fields) != len(example) or fields[0].split("\n")[-1] != text:
            continue
        if fields[1].split("|") == labels and fields[3].split("|") == candidates:
            return f", line {number}"
    return ""
