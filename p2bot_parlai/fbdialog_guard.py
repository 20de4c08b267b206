"""
Clear errors for lines that ParlAI's reader of ConvAI2's form (fbdialog) stumbles over.

ParlAI reads as ever; only where it fails is the file read again, for the line.
"""

from collections.abc import Iterator

from parlai.core.teachers import FbDeprecatedDialogTeacher

from p2bot_parlai.errors import P2botError

MOST_FIELDS = 4  # text, label, reward, candidates; a fifth would be a picture to load
# teachers of other tasks may have pictures
TEXT_ALONE = ("parlai.tasks.convai2.", "parlai.tasks.fromfile.", "p2bot_parlai.")

_stock_setup_data = FbDeprecatedDialogTeacher.setup_data


def install() -> None:
    """Let ParlAI's teachers name what is wrong with a line. May be called again."""
    FbDeprecatedDialogTeacher.setup_data = setup_data


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
