"""
What stands before the page, as ASGI middleware: which requests are let through, how often,
who sends them, and that a browser fetches nothing from elsewhere.
"""

import asyncio
import json
import math
import re
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from p2bot_parlai.parlai_support.files import parse_json
from p2bot_parlai.tools.web.limits import Limits
from p2bot_parlai.tools.web.visitors import Visitors

_TOKEN = re.compile(r"[\w-]{22}", re.ASCII)
_SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)
# all that the page and gradio_client send; the rest of gradio's API is not there
_READ = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(chat|duet)\.json"
    r"|(chat|duet)-(first|second)\.png|(assets|static|svelte)/.*"
    r"|gradio_api/(info|startup-events|app_id|queue/data|heartbeat/[\w-]+|call/reply/\w+))/?"
)
_WRITE = re.compile(r"/gradio_api/(queue/join|reset|cancel|call/reply)/?")
_QUEUE, _CALL = "/gradio_api/queue/join", "/gradio_api/call/reply"
# pictures and addresses elsewhere that gradio's page names for link previews
_ELSEWHERE = re.compile(rb'<meta\s[^>]*(?:property="og:|name="twitter:)[^>]*>\s*')
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' "
    "'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' "
    "data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def visitor_key(cookie: str | None, session: str | None) -> str:
    """
    Who sends a request: the browser by its cookie, so that a reload finds its conversation
    again; a program without cookies by its session.
    """
    if cookie and _TOKEN.fullmatch(cookie):
        return f"browser {cookie}"
    if isinstance(session, str) and _SESSION.fullmatch(session):
        return f"session {session}"
    return "nobody"


class _Refuse(Exception):
    def __init__(self, status: int, why: str, **headers: str):
        super().__init__(why)
        self.status, self.headers = status, headers


class Guard:
    """
    :param cookie: the name of the visitor's cookie.
    :param loopback: whether only this machine is served: then requests for another host name
        are refused, which a page elsewhere could send by pointing its name here.
    :param events: the numbers of what the page can do, and how many inputs each has.
    """

    def __init__(
        self,
        app,
        visitors: Visitors,
        limits: Limits,
        cookie: str,
        loopback: bool,
        events: Mapping[int, int],
    ):
        self.app, self.visitors, self.limits = app, visitors, limits
        self.cookie, self.loopback, self.events = cookie, loopback, events

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            self._check(scope, headers)
            if scope["method"] == "POST":
                body = await self._body(receive, headers)
                path = scope["path"].rstrip("/")
                if path in (_QUEUE, _CALL):
                    wish = self._wish(body, path == _QUEUE)
                    await self._pace(visitor_key(self._token(headers), wish.get("session_hash")))
                receive = _again(body, receive)
        except _Refuse as refused:
            await _answer(send, refused.status, str(refused), refused.headers)
            return
        if scope["path"] == "/":
            await self._page(scope, receive, send, headers)
        else:
            await self.app(scope, receive, _with_headers(send))

    # ------------------------------------------------------------------------- the checks
    def _check(self, scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if self.loopback and _name(f"//{host}") not in _LOOPBACK:
            raise _Refuse(421, "this page is for this machine alone; --host serves others")
        allowed = {"GET": _READ, "HEAD": _READ, "POST": _WRITE}.get(scope["method"])
        if allowed is None:
            raise _Refuse(405, "not allowed")
        if not allowed.fullmatch(scope["path"]):
            raise _Refuse(404, "there is nothing here")
        if scope["method"] == "POST":
            origin = headers.get("origin")
            elsewhere = origin is not None and _place(origin) != host.lower()
            if elsewhere or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
                raise _Refuse(403, "requests from other sites are refused")

    async def _body(self, receive, headers: dict[str, str]) -> bytes:
        too_long = _Refuse(413, f"a request has at most {self.limits.body} bytes")
        announced = headers.get("content-length", "0")
        # as many digits as the limit has are enough to read
        digits = announced.lstrip("0")
        too_many = len(digits) > len(str(self.limits.body))
        if not announced.isdecimal() or too_many or int(digits or 0) > self.limits.body:
            raise too_long
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refuse(400, "incomplete")
            body += message.get("body", b"")
            if len(body) > self.limits.body:
                raise too_long
            if not message.get("more_body"):
                return body

    def _wish(self, body: bytes, queued: bool) -> dict:
        """What is to be done, checked: gradio answers one that it cannot read with a traceback."""
        try:
            wish = parse_json(body)
        except ValueError:
            raise _Refuse(400, "this is no JSON") from None
        known = isinstance(wish, dict) and isinstance(wish.get("data"), list)
        if known and queued:
            session, event = wish.get("session_hash"), wish.get("fn_index")
            known = type(event) is int and self.events.get(event) == len(wish["data"])
            known = known and isinstance(session, str) and bool(_SESSION.fullmatch(session))
        if not known:
            raise _Refuse(422, "this is nothing that the page can do")
        return wish

    async def _pace(self, key: str) -> None:
        """Whoever sends too fast is held back, and far too fast, refused; nobody else is."""
        wait = self.visitors.pace(key)
        if wait is None:
            await asyncio.sleep(self.limits.penance)
            seconds = str(math.ceil(self.limits.patience))
            raise _Refuse(429, "too many requests: please wait", **{"retry-after": seconds})
        await asyncio.sleep(wait)

    def _token(self, headers: dict[str, str]) -> str | None:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return None
        return found.value if found else None

    # --------------------------------------------------------------------------- the page
    async def _page(self, scope, receive, send, headers: dict[str, str]) -> None:
        """The page without addresses elsewhere, and with a cookie for a new visitor."""
        plain = [(k, v) for k, v in scope["headers"] if k.lower() != b"accept-encoding"]
        start, body = None, b""
        more = []
        if not _TOKEN.fullmatch(self._token(headers) or ""):
            # Lax: who comes by a link from elsewhere is known again; what is posted from there
            # comes without it
            value = f"{self.cookie}={secrets.token_urlsafe(16)}; HttpOnly; SameSite=Lax; Path=/"
            more.append((b"set-cookie", value.encode()))

        async def change(message):
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = _ELSEWHERE.sub(b"", body)
            kept = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
            length = [(b"content-length", str(len(body)).encode())]
            if scope["method"] == "HEAD":
                length = []
            start["headers"] = [*kept, *length, *more, (b"cache-control", b"no-store")]
            await _with_headers(send)(start)
            await send({"type": "http.response.body", "body": body})

        await self.app({**scope, "headers": plain}, receive, change)


def _place(url: str) -> str | None:
    """Host name and port of an address."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None


def _name(url: str) -> str | None:
    """The host name of an address, without port."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _again(body: bytes, receive):
    """A body that was read, to be read again; then whatever comes."""
    sent = False

    async def replay():
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _with_headers(send):
    async def sending(message):
        if message["type"] == "http.response.start":
            ours = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
            others = [(k, v) for k, v in message["headers"] if k.decode().lower() not in HEADERS]
            message = {**message, "headers": [*others, *ours]}
        await send(message)

    return sending


async def _answer(send, status: int, why: str, more: dict[str, str]) -> None:
    body = json.dumps({"detail": why}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **more}
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }
    await _with_headers(send)(start)
    await send({"type": "http.response.body", "body": body})
