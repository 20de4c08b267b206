"""ASGI middleware for pages on this machine: host names, origins, sizes, security headers."""

import re
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def guarded(
    app: ASGIApp,
    host: str,
    policy: str,
    max_body: int,
    allowed: Mapping[str, re.Pattern] | None = None,
    origins: Sequence[str] = (),
) -> ASGIApp:
    """
    :param host: address that is served. On a loopback address, requests for other host names
        are refused: another site's page could send them by DNS rebinding.
    :param policy: Content-Security-Policy. :param max_body: bytes of a request.
    :param allowed: method -> paths; without it the app decides.
    :param origins: other sites that may send requests, ``*`` for all.
    """
    app = RequestBodyLimitMiddleware(app, max_body)
    if host in LOOPBACK:
        app = TrustedHostMiddleware(app, ["127.0.0.1", "localhost", "[::1]"], www_redirect=False)
    if origins:
        app = CORSMiddleware(app, origins, allow_methods=["*"], allow_headers=["*"])
    return Guard(app, policy, allowed, origins)


class Guard:
    """Refuses requests from other sites and to other paths; adds the security headers."""

    def __init__(
        self,
        app: ASGIApp,
        policy: str,
        allowed: Mapping[str, re.Pattern] | None,
        origins: Sequence[str],
    ):
        self.app, self.allowed, self.origins = app, allowed, origins
        self.headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await (self._refusal(scope) or self.app)(scope, receive, sending)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        origin, host = headers.get("origin"), headers.get("host")
        known = (None, f"http://{host}", f"https://{host}", *self.origins)
        if origin not in known and "*" not in self.origins:
            return JSONResponse({"error": "requests from other sites are refused"}, 403)
        if self.allowed is not None:
            paths = self.allowed.get(scope["method"])
            if paths is None:
                return JSONResponse({"error": "method not allowed"}, 405)
            if not paths.fullmatch(scope["path"]):
                return JSONResponse({"error": "not found"}, 404)
        return None
