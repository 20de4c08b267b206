"""The commands of a chat at the terminal."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parlai.utils.strings import colorize

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.parlai_support.files import parse_json

FORMAT = "p2bot-chat-1"

HELP = {
    "/persona": "show the bot's persona",
    "/persona A|B": 'change it, sentences separated by "|"; the chat continues',
    "/why": "which profile sentences the last exchange reveals (needs --receiver)",
    "/save FILE": "write the personas and the chat as JSON",
    "/reset": "begin a new chat",
    "/help": "show this list",
    "[EXIT], Ctrl-D": "leave",
}


@dataclass
class Chat:
    """
    :param persona: the bot's. :param partner_persona: the human's, if any.
    :param turns: (the human's utterance, the bot's reply), oldest first.
    """

    persona: list[str] = field(default_factory=list)
    partner_persona: list[str] = field(default_factory=list)
    turns: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        speakers = ("partner", "bot")
        return {
            "format": FORMAT,
            "persona": self.persona,
            "partner_persona": self.partner_persona,
            "turns": [
                {"speaker": speaker, "text": text}
                for exchange in self.turns
                for speaker, text in zip(speakers, exchange, strict=True)
            ],
        }


def help_text() -> str:
    width = max(map(len, HELP))
    return "\n".join(f"  {command:{width}}  {what}" for command, what in HELP.items())


def save(chat: Chat, name: str) -> Path:
    """
    Write a chat, perhaps over its earlier version.

    :raises P2botError: if it cannot be written, or the file is not a chat.
    """
    text = json.dumps(chat.to_json(), ensure_ascii=False, indent=1) + "\n"
    try:
        path = Path(os.path.expanduser(name))
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        if path.exists() and not _is_chat(path):
            raise P2botError(f"/save {name}: the file is not a chat; choose another name")
        try:
            # a lone surrogate (a broken emoji) cannot be written
            temporary.write_text(text, encoding="utf-8", errors="replace")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise P2botError(f"/save {name}: {error.strerror}") from error
    except ValueError as error:  # NUL in it, or no name at all
        raise P2botError(f"/save {name}: not a valid file name; choose another") from error
    return path


def _is_chat(path: Path) -> bool:
    try:
        return parse_json(path.read_bytes())["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def why(chat: Chat, perceiver: Perceiver) -> str:
    """
    Eq. 11 of the last exchange: the bot's reply against its persona, and the human's utterance
    against both; the highest of each list is marked.

    :raises P2botError: without an exchange or a persona.
    """
    if not chat.turns:
        raise P2botError("/why: nothing was said yet")
    if not chat.persona and not chat.partner_persona:
        raise P2botError("/why: nobody has a persona; give the bot one with /persona A|B")
    heard, answered = chat.turns[-1]
    shown = [
        ("bot", answered, "its persona", chat.persona),
        ("you", heard, "the bot's persona", chat.persona),
        ("you", heard, "your persona", chat.partner_persona),
    ]
    blocks = [
        [f"{who}: {text}", f"  against {whose}:", *_scores(text, persona, perceiver)]
        for who, text, whose, persona in shown
        if persona
    ]
    return "\n".join(line for block in blocks for line in block)


def _scores(text: str, persona: Sequence[str], perceiver: Perceiver) -> list[str]:
    scores = perceiver.relevance(*perceiver.typed([text], persona))[0].tolist()
    highest = max(scores)
    lines = []
    for sentence, score in zip(persona, scores, strict=True):
        mark = "*" if score == highest else " "
        line = f"  {mark} {score:6.2f}  {sentence}"
        lines.append(colorize(line, "green") if score == highest else line)
    return lines
