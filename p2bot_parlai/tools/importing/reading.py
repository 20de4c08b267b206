"""
Dialogues as others write them. The form of a file is told from what it holds:

- the JSON of PersonaChat by Hugging Face (transfer-learning-conv-ai): ``personality`` and
  ``utterances``, of which each has ``history`` and ``candidates``, the true reply last;
- chat messages, a dialogue a line (JSONL) or in a list: ``role`` and ``content``, the persona in
  ``persona`` or in a system message;
- the CSV of Synthetic-Persona-Chat, whose dialogues are imported once as each speaker.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import OWN_PERSONA, PARTNER_PERSONA
from p2bot_parlai.method.words import sentences
from p2bot_parlai.parlai_support.files import parse_json

COLUMNS = ("user 1 personas", "user 2 personas", "Best Generated Conversation")
FORMS = (
    "JSON with personality and utterances (Hugging Face's PersonaChat), JSON or JSONL with "
    f"messages of role and content, or CSV with the columns {', '.join(COLUMNS)}"
)
_SILENCE = re.compile(r"__ ?SILENCE ?__")
_SPEAKER = re.compile(r"User ([12]):\s*")


@dataclass
class Turn:
    """
    :param heard: what the partner said before; None: nothing. :param distractors: wrong replies;
        None where the file has none.
    """

    heard: str | None
    reply: str
    distractors: list[str] | None = None


@dataclass
class Imported:
    """A dialogue as one speaker sees it. :param persona: of this speaker."""

    persona: list[str]
    turns: list[Turn]


@dataclass
class Found:
    """
    What was read. :param folds: dialogues by fold; "" where the file is one fold.
    :param left_out: where, and why. :param unanswered: last utterances without a reply.
    """

    form: str = ""
    folds: dict[str, list[Imported]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    unanswered: int = 0


class Fault(ValueError):
    """Why a dialogue is left out."""


def read_dialogues(text: str, name: str) -> Found:
    """
    The dialogues of a file. :param text: of it. :param name: for errors.

    :raises P2botError: where it is of no known form, or no dialogue can be read.
    """
    found = Found()
    for where, fold, entry in _entries(text, name):
        try:
            if isinstance(entry, Exception):
                raise Fault(str(entry))
            dialogues = _dialogues(entry, found)
            found.folds.setdefault(fold, []).extend(dialogues)
        except Fault as fault:
            found.left_out.append(f"{where}: {fault}")
    if not found.folds:
        first = f" ({found.left_out[0]})" if found.left_out else ""
        raise P2botError(f"{name} has no dialogue that can be read{first}: it may be {FORMS}")
    return found


def clean(text: object) -> str:
    """A text in one line, without what the format of ConvAI2 takes for its own."""
    if not isinstance(text, str):
        raise Fault("a text is no string")
    # "\n" in two characters is read as a line break; "|" separates candidates
    text = text.replace("\\n", " ").replace("|", "/").encode("utf-8", "replace").decode()
    text = " ".join(text.split())
    if text.startswith((OWN_PERSONA, PARTNER_PERSONA)):
        raise Fault(f'a text begins with "{text.partition(":")[0]}:"')
    return text


# ------------------------------------------------------------------------------ containers
def _entries(text: str, name: str) -> Iterator[tuple[str, str, object]]:
    """(where, fold, dialogue) of each dialogue; in place of a broken one its error."""
    try:
        whole = parse_json(text)
    except ValueError:
        is_csv = COLUMNS[-1] in text.partition("\n")[0]
        yield from _rows(text, name) if is_csv else _lines(text)
        return
    folds = whole if isinstance(whole, dict) else {"": whole}
    if _kind(whole):
        folds = {"": [whole]}
    for fold, dialogues in folds.items():
        if not isinstance(dialogues, list) or not re.fullmatch(r"[\w-]*", fold):
            raise P2botError(
                f"{name}: {fold!r} is no fold with a list of dialogues; it may be {FORMS}"
            )
        for number, entry in enumerate(dialogues, start=1):
            yield f"dialogue {number}{f' of {fold}' if fold else ''}", fold, entry


def _lines(text: str) -> Iterator[tuple[str, str, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", "", parse_json(line)
            except ValueError as error:
                yield f"line {number}", "", ValueError(f"not JSON: {error}")


def _rows(text: str, name: str) -> Iterator[tuple[str, str, object]]:
    csv.field_size_limit(len(text) + 1)
    rows = csv.DictReader(io.StringIO(text))
    if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
        raise P2botError(f"{name} has no column {missing[0]}: it may be {FORMS}")
    before = 1
    try:
        for row in rows:
            yield f"line {before + 1}", "", row
            before = rows.line_num
    except csv.Error as error:
        raise P2botError(f"{name}, line {before + 1}: not CSV: {error}") from error


# ---------------------------------------------------------------------------------- forms
def _kind(entry: object) -> str:
    if isinstance(entry, list) and entry and _is_message(entry[0]):
        return "chat messages"
    keys = {
        "Hugging Face's PersonaChat": "utterances",
        "chat messages": "messages",
        "Synthetic-Persona-Chat": COLUMNS[2],
    }
    return next((k for k, key in keys.items() if isinstance(entry, dict) and key in entry), "")


def _is_message(entry: object) -> bool:
    return isinstance(entry, dict) and "role" in entry


def _dialogues(entry, found: Found) -> list[Imported]:
    """:raises Fault: where it is none."""
    kind = _kind(entry)
    if not kind:
        raise Fault("neither utterances nor messages of role and content")
    found.form = found.form or kind
    if kind == "chat messages":
        fields = {} if isinstance(entry, list) else entry
        dialogues = [_chat(entry["messages"] if fields else entry, fields.get("persona"), found)]
    elif kind == "Synthetic-Persona-Chat":
        dialogues = _synthetic(entry, found)
    else:
        dialogues = [_personachat(entry, found)]
    if not any(dialogue.turns for dialogue in dialogues):
        raise Fault("nobody replies")
    return [dialogue for dialogue in dialogues if dialogue.turns]


def _personachat(entry: dict, found: Found) -> Imported:
    turns: list[Turn] = []
    for utterance in _list(entry["utterances"], "utterances"):
        fields = utterance if isinstance(utterance, dict) else {}
        history = list(map(clean, _list(fields.get("history"), "history")))
        *wrong, reply = map(clean, _list(fields.get("candidates"), "candidates") or [""])
        if not reply:
            raise Fault("an utterance has no reply: the last of its candidates")
        if not turns:  # what was said before the first of them
            earlier = enumerate(history[:-1], start=len(history))
            turns = _turns(((place % 2 == 0, text) for place, text in earlier), found)
        wrong = [text for text in dict.fromkeys(wrong) if text not in ("", reply)]
        turns.append(Turn(_said("".join(history[-1:])), reply, wrong or None))
    return Imported(_persona(entry.get("personality")), turns)


def _chat(messages: object, persona: object, found: Found) -> Imported:
    said, told = [], []
    for message in _list(messages, "messages"):
        role = message.get("role") if isinstance(message, dict) else None
        text = message.get("content") if role else None
        if role in ("user", "assistant"):
            said.append((role == "assistant", clean(text)))
        elif role in ("system", "developer") and not said and isinstance(text, str):
            told.append(text)
        else:
            raise Fault(f"a message of role {role} at place {len(said) + len(told) + 1}")
    return Imported(_persona("\n".join(told) if persona is None else persona), _turns(said, found))


def _synthetic(row: dict, found: Found) -> list[Imported]:
    if None in row or None in row.values():
        raise Fault("not as many fields as the header has")
    fields = [row[column] for column in COLUMNS]
    said: list[tuple[str, str]] = []
    for line in filter(str.strip, fields[2].split("\n")):
        if start := _SPEAKER.match(line.strip()):
            said.append((start[1], clean(line.strip()[start.end() :])))
        elif said:
            said[-1] = (said[-1][0], clean(f"{said[-1][1]} {line}"))
        else:
            raise Fault('the conversation does not begin with "User 1:" or "User 2:"')
    return [
        Imported(
            _persona(fields[place]),
            _turns(((speaker == who, text) for speaker, text in said), found),
        )
        for place, who in enumerate("12")
    ]


def _list(value: object, what: str) -> list:
    if not isinstance(value, list):
        raise Fault(f"{what} is no list")
    return value


def _persona(told: object) -> list[str]:
    """Profile sentences, of a list of them or of a text."""
    told = sentences(told) if isinstance(told, str) else _list(told or [], "the persona")
    if not all(isinstance(sentence, str) for sentence in told):
        raise Fault("a profile sentence is no string")
    kept = [sentence.strip().removeprefix(OWN_PERSONA).lstrip("-*• ") for sentence in told]
    return list(dict.fromkeys(filter(None, map(clean, kept))))


def _said(text: str) -> str | None:
    """None for nothing, and for the mark that nobody has spoken yet."""
    return None if not text or _SILENCE.fullmatch(text) else text


def _turns(said: Iterable[tuple[bool, str]], found: Found) -> list[Turn]:
    """:param said: whether the persona's owner says it, and the text."""
    turns: list[Turn] = []
    heard: list[str] = []
    last = None
    for own, text in said:
        if _said(text) is None:
            continue
        if own and last:
            turns[-1].reply += f" {text}"
        elif own:
            turns.append(Turn(" ".join(heard) or None, text))
            heard = []
        else:
            heard.append(text)
        last = own
    found.unanswered += bool(heard)
    return turns
