"""Reading what others wrote, text and JSON, so that whatever is wrong with it can be said."""

import json
import re

from parlai.utils.io import PathManager

from p2bot_parlai.errors import P2botError

# an escape of half a character, which alone is none and can be written nowhere
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: str, called: str | None = None) -> str:
    """
    The text of a file, without the mark (BOM) that some editors put before it.

    :param called: what an error calls it, as ``--dialogue FILE``; default: its path.
    :raises P2botError: where it cannot be read, or is no UTF-8, by its line.
    """
    called = called or path
    try:
        with PathManager.open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise P2botError(f"{called} cannot be read: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise P2botError(f"{called}, line {line}: not UTF-8; save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes):
    """
    ``json.loads``; halves of characters, which JSON can name, become "?".

    :raises ValueError: for everything that is none, also where it is nested too deeply.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        found = json.loads(text)
        if _HALF.search(text):
            whole = json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")
            found = json.loads(whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return found
