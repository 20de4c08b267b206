"""Ratings by spreadsheet: a CSV file that a rater fills in."""

import csv
import io

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval.ratings import RatingLog
from p2bot_parlai.tools.human_eval.scale import GRADES
from p2bot_parlai.tools.human_eval.study import Study
from p2bot_parlai.tools.report import write_text

COLUMNS = ("response_id", "persona", "context", "response", "rating")
# what a spreadsheet would take for a formula
FORMULA = ("=", "+", "-", "@", "\t")


def write_sheet(path: str, study: Study, given: dict[str, int]) -> None:
    """
    One line per response; the last column is to be filled in.

    :param given: grades that the rater has already given, by response.
    """
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(COLUMNS)
    for item, response in study.responses():
        persona = " | ".join(item.persona)
        context = " | ".join(f"{who}: {text}" for who, text in item.context)
        texts = (f"'{t}" if t.startswith(FORMULA) else t for t in (persona, context, response.text))
        rows.writerow([response.id, *texts, given.get(response.id, "")])
    # the byte order mark tells spreadsheets that this is UTF-8
    write_text(path, "\ufeff" + buffer.getvalue())


def read_sheet(path: str, study: Study) -> dict[str, int]:
    """
    Response -> grade, from the lines that are filled in.

    :raises P2botError: for the first invalid line; it names the line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise P2botError(f"--csv {path} cannot be read: {error}") from error
    # spreadsheets in some languages write semicolons or tabs
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    found: dict[str, int] = {}
    try:
        for needed in ("response_id", "rating"):
            if needed not in (rows.fieldnames or ()):
                raise P2botError(f"{path}, line 1: there is no column {needed}")
        for row in rows:
            where, name, grade = f"{path}, line {rows.line_num}", row["response_id"], row["rating"]
            if not any(row.values()):
                continue
            if name not in study.ids:
                raise P2botError(f"{where}: the study has no response {name or '(empty)'}")
            if not grade.strip():
                continue
            if grade.strip() not in map(str, GRADES):
                raise P2botError(f"{where}: rating {grade} is not 1, 2, 3 or 4")
            if name in found:
                raise P2botError(f"{where}: response {name} is listed twice")
            found[name] = int(grade)
    except csv.Error as error:
        raise P2botError(f"{path}, line {rows.line_num}: {error}") from error
    return found


def take_sheet(path: str, rater: str, log: RatingLog) -> tuple[int, int]:
    """
    Add the new ratings of a filled-in sheet.

    :return: how many responses it rates, and how many of these ratings are new or changed.
    """
    found, before = read_sheet(path, log.study), log.of(rater)
    changed = {name: grade for name, grade in found.items() if before.get(name) != grade}
    for name, grade in changed.items():
        log.add(rater, name, grade)
    return len(found), len(changed)
