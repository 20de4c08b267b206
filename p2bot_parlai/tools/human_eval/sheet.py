"""Ratings by spreadsheet: a CSV file a rater fills in, and what is read back from it."""

import csv
import io

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval.ratings import RatingLog
from p2bot_parlai.tools.human_eval.scale import GRADES, SCALE
from p2bot_parlai.tools.human_eval.study import Study, write_text

COLUMNS = ("response_id", "persona", "context", "response", "rating")
# what a spreadsheet would compute instead of show
FORMULA = ("=", "+", "-", "@", "\t")


def write_sheet(path: str, study: Study, given: dict[str, int]) -> None:
    """
    One line a response, the last column to be filled in.

    :param given: grades that the rater has given already, by response.
    """
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(COLUMNS)
    for item, response in study.responses():
        persona = " | ".join(item.persona)
        context = " | ".join(f"{who}: {text}" for who, text in item.context)
        texts = map(_shown, (persona, context, response.text))
        rows.writerow([response.id, *texts, given.get(response.id, "")])
    # the mark at the beginning tells spreadsheets that it is UTF-8
    write_text(path, "\ufeff" + buffer.getvalue())


def _shown(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def scale_in_words() -> str:
    """The grades, a line each."""
    return "\n".join(f"  {grade.value}  {grade.name}: {grade.meaning}" for grade in SCALE)


def read_sheet(path: str, study: Study) -> dict[str, int]:
    """
    Response -> grade, of the lines that are filled in.

    :raises P2botError: for the first line that cannot be understood, naming it.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise P2botError(f"--csv {path} cannot be read: {error}") from error
    first = text.partition("\n")[0]
    # spreadsheets in some languages write semicolons or tabs
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    known = {response.id for _, response in study.responses()}
    found: dict[str, int] = {}
    try:
        header = [name.strip() for name in next(rows, [])]
        for needed in ("response_id", "rating"):
            if needed not in header:
                raise P2botError(f"{path}, line 1: there is no column {needed}")
        name_at, grade_at = header.index("response_id"), header.index("rating")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            name = row[name_at].strip() if name_at < len(row) else ""
            grade = row[grade_at].strip() if grade_at < len(row) else ""
            if name not in known:
                raise P2botError(f"{where}: the study has no response {name or '(empty)'}")
            if not grade:
                continue
            if grade not in map(str, GRADES):
                raise P2botError(f"{where}: rating {grade} is not 1, 2, 3 or 4")
            if name in found:
                raise P2botError(f"{where}: response {name} stood further above already")
            found[name] = int(grade)
    except csv.Error as error:
        raise P2botError(f"{path}, line {rows.line_num}: {error}") from error
    return found


def take_sheet(path: str, rater: str, log: RatingLog) -> tuple[int, int]:
    """
    Add what a filled-in sheet says beyond what is known.

    :return: how many responses it rates, how many of these ratings are new or changed.
    """
    found, before = read_sheet(path, log.study), log.of(rater)
    changed = {name: grade for name, grade in found.items() if before.get(name) != grade}
    for name, grade in changed.items():
        log.add(rater, name, grade)
    return len(found), len(changed)
