"""
The page on which people rate, served by this machine to its own browser.

The server reads the study and never its key. Who answered what cannot be asked of it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import parse_json
from p2bot_parlai.tools.human_eval.ratings import RatingLog, check_rater
from p2bot_parlai.tools.human_eval.scale import SCALE
from p2bot_parlai.tools.human_eval.study import Study

LOCAL = ("127.0.0.1", "localhost", "::1")
MAX_BODY = 4096  # bytes of a rating
PAGES = {
    "/": ("index.html", "text/html"),
    "/rate.js": ("rate.js", "text/javascript"),
    "/rate.css": ("rate.css", "text/css"),
}
HEADERS = {
    # nothing from elsewhere, nothing inline: text of a model can never run
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class RatingServer(ThreadingHTTPServer):
    """
    :param port: 0 takes a free one. :param host: other than this machine's own name, it is
        open to whoever reaches the port.
    :raises P2botError: where it cannot listen there.
    """

    daemon_threads = True

    def __init__(self, study: Study, log: RatingLog, host: str = LOCAL[0], port: int = 0):
        self.study, self.log = study, log
        self.local = host in LOCAL
        self.content = as_json(study)
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise P2botError(f"--host {host} --port {port}: {reason}") from error

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_address[1]}/"


def as_json(study: Study) -> dict:
    """What the page shows, in the order in which it shows it."""
    return {
        "study": study.id,
        "scale": [grade._asdict() for grade in SCALE],
        "items": [
            {
                "persona": item.persona,
                "context": item.context,
                "response": response.text,
                "id": response.id,
            }
            for item, response in study.responses()
        ],
    }


class Refused(Exception):
    """:param status: of the answer. :param reason: one line for the page."""

    def __init__(self, status: HTTPStatus, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class Handler(BaseHTTPRequestHandler):
    """``GET /scale``, ``GET /study?rater=NAME`` and ``POST /rate`` beside the page itself."""

    server: RatingServer
    server_version, sys_version = "p2bot", ""
    timeout = 60  # seconds; a connection that says nothing holds no thread for ever

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, work: Callable[[], tuple[str, bytes]]) -> None:
        try:
            self._check_origin()
            status, kind, body = HTTPStatus.OK, *work()
        except Refused as refused:
            status, kind, body = refused.status, *_json({"error": refused.reason})
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status != HTTPStatus.OK:  # a body that was not read must not be taken as a request
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def _check_origin(self) -> None:
        """Another site's page may neither rate here nor read, whatever name it gives us."""
        host = self.headers.get("Host", "")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if self.server.local and name not in LOCAL:  # a name that was pointed at this machine
            raise Refused(HTTPStatus.FORBIDDEN, "this page is for this machine only")
        origin = self.headers.get("Origin")
        if origin not in (None, f"http://{host}"):
            raise Refused(HTTPStatus.FORBIDDEN, "requests of other sites are refused")

    def _get(self) -> tuple[str, bytes]:
        try:
            address = urlsplit(self.path)
        except ValueError:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page") from None
        if address.path == "/study":
            with _refusing():
                rater = check_rater(parse_qs(address.query).get("rater", [""])[0])
            ratings = self.server.log.of(rater)
            return _json({**self.server.content, "rater": rater, "ratings": ratings})
        if address.path == "/scale":
            return _json({"scale": self.server.content["scale"]})
        if address.path not in PAGES:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        name, kind = PAGES[address.path]
        return kind, files("p2bot_parlai.tools.human_eval").joinpath("page", name).read_bytes()

    def _post(self) -> tuple[str, bytes]:
        if self.path != "/rate":
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        # a form of another site cannot send this type without asking first
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a rating is application/json")
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "its length is missing") from None
        if not 0 <= length <= MAX_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "that is no rating")
        try:
            given = parse_json(self.rfile.read(length))
            study, rating = given["study"], (given["rater"], given["response"], given["rating"])
        except (ValueError, KeyError, TypeError):
            raise Refused(HTTPStatus.BAD_REQUEST, "that is no rating") from None
        if study != self.server.study.id:
            raise Refused(HTTPStatus.CONFLICT, "another study is open here now: reload the page")
        with _refusing():
            self.server.log.add(*rating)
        return _json({"saved": rating[1]})

    def log_message(self, *args) -> None:
        """Requests are no news to whoever watches the terminal."""


@contextmanager
def _refusing() -> Iterator[None]:
    """Errors for users become answers to the page."""
    try:
        yield
    except P2botError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error


def _json(content: dict) -> tuple[str, bytes]:
    return "application/json", json.dumps(content, ensure_ascii=False).encode()
