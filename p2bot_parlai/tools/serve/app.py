"""The addresses of the service, who may call them, and errors in OpenAI's form."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp

from p2bot_parlai import __version__
from p2bot_parlai.chat.api import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.serve.bodies import (
    BODY,
    Completion,
    NewConversation,
    Perceiving,
    Ranking,
    Saying,
)
from p2bot_parlai.tools.serve.completions import Answer
from p2bot_parlai.tools.serve.conversations import Conversations
from p2bot_parlai.tools.serve.page import page
from p2bot_parlai.tools.web.guard import guarded

REQUESTS = 128  # that are answered at once
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def make_app(
    bot: P2Bot,
    model: str,
    host: str,
    conversations: int,
    api_key: str | None = None,
    origins: Sequence[str] = (),
) -> ASGIApp:
    """
    :param model: its name for clients. :param host: address that is served, see `guarded`.
    :param conversations: kept at once. :param api_key: that requests have to bring; None: none.
    :param origins: other sites whose pages may call, ``*`` for all.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # one thread waits for each reply
        to_thread.current_default_thread_limiter().total_tokens = REQUESTS
        with bot.speaker.together():
            yield

    title = {"title": "P²Bot", "version": __version__}
    app = FastAPI(**title, lifespan=lifespan, docs_url=None, redoc_url=None)
    key = HTTPBearer(auto_error=False, description="--api-key, where the server has one")

    def check_key(given: Annotated[HTTPAuthorizationCredentials | None, Depends(key)]) -> None:
        said = given.credentials if given else ""
        if api_key and not secrets.compare_digest(said.encode(), api_key.encode()):
            raise HTTPException(401, "send the server's API key: Authorization: Bearer KEY")

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether it answers; needs no key."""
        return {"status": "ok", "model": model}

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

    routes = APIRouter(dependencies=[Depends(check_key)])
    add_conversations(routes, bot, Conversations(conversations))
    add_completions(routes, bot, model)
    app.include_router(routes)
    for kind in (P2botError, AnyHTTPException, RequestValidationError):
        app.add_exception_handler(kind, _failed)
    return guarded(app, host, POLICY, BODY, origins=origins)


def add_conversations(routes: APIRouter, bot: P2Bot, kept: Conversations) -> None:
    """Conversations that the server keeps."""

    def shown(name: str) -> dict[str, Any]:
        talk = kept.get(name).conversation
        turns = [turn._asdict() for turn in talk.turns]
        whose = {"persona": talk.persona, "partner_persona": talk.partner_persona}
        return {"id": name, **whose, "turns": turns}

    @routes.post("/conversations", status_code=201)
    async def begin(body: NewConversation) -> dict[str, Any]:
        """Begin a conversation."""
        who = (body.persona, body.partner_persona, body.seed)
        return shown(kept.add(bot.conversation(*who, decoding=body.decoding())))

    @routes.get("/conversations/{name}")
    async def read(name: str) -> dict[str, Any]:
        """The personas, and what was said."""
        return shown(name)

    @routes.delete("/conversations/{name}", status_code=204)
    async def forget(name: str) -> None:
        """Forget a conversation."""
        kept.remove(name)

    @routes.post("/conversations/{name}/say", response_model=None)
    async def say(name: str, body: Saying) -> dict[str, str] | StreamingResponse:
        """Say something and get the reply: whole, or {"text": piece} as events, then the whole."""
        pieces = kept.get(name).pieces(body.text)
        if not body.stream:
            return {"reply": "".join([piece async for piece in pieces])}

        async def events() -> AsyncIterator[dict[str, str]]:
            said = ""
            async with aclosing(pieces):
                async for piece in pieces:
                    said += piece
                    yield {"text": piece}
            yield {"reply": said}

        return _stream(events())

    @routes.post("/conversations/{name}/rank")
    async def rank(name: str, body: Ranking) -> list[dict[str, Any]]:
        """Possible replies to what was said, the best first."""
        talk = kept.get(name)
        async with talk.turn:
            ranked = await run_in_threadpool(talk.conversation.rank, None, body.candidates)
        return [one._asdict() for one in ranked]

    @routes.post("/perceive")
    async def perceive(body: Perceiving) -> list[dict[str, Any]]:
        """How strongly an utterance reveals each profile sentence (Eq. 11); needs a Receiver."""
        found = await run_in_threadpool(bot.perceive, body.utterance, body.persona)
        return [one._asdict() for one in found]


def add_completions(routes: APIRouter, bot: P2Bot, model: str) -> None:
    """What OpenAI's clients call. The server keeps nothing of it."""
    created = int(time.time())

    @routes.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The one model."""
        about = {"id": model, "object": "model", "created": created, "owned_by": "p2bot"}
        return {"object": "list", "data": [about]}

    @routes.post("/v1/chat/completions", response_model=None)
    async def complete(body: Completion) -> dict[str, Any] | StreamingResponse:
        """OpenAI's chat completions; the system message is the bot's persona."""
        if body.model != model:
            raise HTTPException(404, f"there is no model {body.model!r}, only {model!r}")
        answer = Answer(bot, body, model)
        return _stream(answer.chunks(), "[DONE]") if body.stream else await answer.whole()


def _stream(events: AsyncIterator[dict[str, Any]], last: str = "") -> StreamingResponse:
    """Server-sent events. What fails after the start is an event too."""

    async def lines() -> AsyncIterator[str]:
        try:
            async with aclosing(events):
                async for event in events:
                    yield f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
        except (P2botError, HTTPException) as error:
            yield f"data: {json.dumps(_described(error)[1])}\n\n"
        if last:
            yield f"data: {last}\n\n"

    headers = {"cache-control": "no-store"}
    return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    status, body = _described(error)
    return JSONResponse(body, status)


def _described(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body, in the form that OpenAI's clients show."""
    status, message, where = 400, str(error), None
    if isinstance(error, AnyHTTPException):
        status, message = error.status_code, error.detail
    elif isinstance(error, RequestValidationError):
        wrong = [
            (".".join(map(str, one["loc"][1:])) or "body", one["msg"]) for one in error.errors()
        ]
        message, where = "; ".join(f"{place}: {what}" for place, what in wrong), wrong[0][0]
    about = {"message": message, "type": "invalid_request_error", "param": where, "code": None}
    return status, {"error": about}
