"""OpenAI's chat completions: what their messages mean here, and the form of the answers."""

import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from p2bot_parlai.chat.api import P2Bot
from p2bot_parlai.chat.conversation import BOT, PARTNER, Conversation, Utterance
from p2bot_parlai.tools.serve.bodies import Completion
from p2bot_parlai.tools.serve.conversations import Talk


def sentences(text: str) -> list[str]:
    """The profile sentences of a system message: of each line, each sentence."""
    found = re.split(r"(?<=[.!?。！？])\s+|\n", text)
    return [sentence.strip() for sentence in found if sentence.strip()]


def conversation_of(bot: P2Bot, body: Completion) -> tuple[Conversation, str]:
    """The conversation that the messages tell of, and what is said to it now."""
    persona, turns = [], []
    for message in body.messages:
        if message.role in ("system", "developer"):
            persona += sentences(message.text())
        elif message.text():
            who = BOT if message.role == "assistant" else PARTNER
            turns.append(Utterance(who, message.text()))
    heard = turns.pop().text if turns and turns[-1].speaker == PARTNER else ""
    return bot.conversation(persona, (), body.seed, turns, body.decoding()), heard


class Stops:
    """Cuts a growing text before the first of some strings. ``cut`` is whether it has."""

    def __init__(self, stops: Sequence[str]):
        self.stops, self.cut = stops, False

    async def __call__(self, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
        """What may be the beginning of a stop waits."""
        text, given, held = "", 0, max(map(len, self.stops), default=1) - 1
        async with aclosing(pieces):
            async for piece in pieces:
                text += piece
                found = [at for stop in self.stops if (at := text.find(stop)) >= 0]
                self.cut = bool(found)
                end = min(found, default=len(text) - held)
                if end > given:
                    yield text[given:end]
                    given = end
                if found:
                    return
        if text[given:]:
            yield text[given:]


class Answer:
    """To one request. :param model: its name."""

    def __init__(self, bot: P2Bot, body: Completion, model: str):
        conversation, self.heard = conversation_of(bot, body)
        self.talk, self.stops, self.body = Talk(conversation), Stops(body.stops()), body
        self.longest = body.decoding().longest(bot.speaker.agent.opt)
        self.about = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time())}
        self.about["model"] = model

    def pieces(self) -> AsyncIterator[str]:
        return self.stops(self.talk.pieces(self.heard))

    @property
    def reason(self) -> str:
        """Why it ends."""
        long = self.talk.conversation.usage[1] >= self.longest
        return "length" if long and not self.stops.cut else "stop"

    def usage(self) -> dict[str, int]:
        read, written = self.talk.conversation.usage
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }

    async def whole(self) -> dict[str, Any]:
        text = "".join([piece async for piece in self.pieces()])
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": self.reason, "logprobs": None}
        about = {**self.about, "object": "chat.completion"}
        return {**about, "choices": [choice], "usage": self.usage()}

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        about = {**self.about, "object": "chat.completion.chunk"}

        def chunk(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
            return {**about, "choices": [choice]}

        yield chunk({"role": "assistant", "content": ""})
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                yield chunk({"content": piece})
        yield chunk({}, self.reason)
        if self.body.stream_options.include_usage:
            yield {**about, "choices": [], "usage": self.usage()}
