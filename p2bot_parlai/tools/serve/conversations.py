"""The conversations that are kept."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field

from fastapi import HTTPException
from starlette.concurrency import iterate_in_threadpool

from p2bot_parlai.chat.conversation import Conversation
from p2bot_parlai.tools.serve.bodies import TURNS


@dataclass
class Talk:
    """:param turn: held by one request at a time; the others wait in the order they came in."""

    conversation: Conversation
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def pieces(self, text: str) -> AsyncIterator[str]:
        """The reply, piece by piece."""
        async with self.turn:
            if len(self.conversation.turns) >= TURNS:
                raise HTTPException(409, f"a conversation ends after {TURNS} turns: begin another")
            with closing(self.conversation.stream(text)) as stream:
                async for piece in iterate_in_threadpool(stream):
                    yield piece


class Conversations:
    """:param most: that are kept; then the longest unused is dropped."""

    def __init__(self, most: int):
        self._most = most
        self._kept: OrderedDict[str, Talk] = OrderedDict()

    def add(self, conversation: Conversation) -> str:
        """Its name, which nobody can guess."""
        name = secrets.token_urlsafe(16)
        self._kept[name] = Talk(conversation)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Talk:
        """:raises HTTPException: if it is not kept (any more)."""
        if name not in self._kept:
            raise HTTPException(
                404, "there is no such conversation; it may have been dropped for newer ones"
            )
        self._kept.move_to_end(name)
        return self._kept[name]

    def remove(self, name: str) -> None:
        """:raises HTTPException: as `get`."""
        self.get(name)
        del self._kept[name]
