"""Page, guard and downloads together, on a port."""

import json
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

from p2bot_parlai.chat.api import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.figures import draw_relevance_map
from p2bot_parlai.tools.web.guard import Guard, visitor_key
from p2bot_parlai.tools.web.judge import Judge
from p2bot_parlai.tools.web.limits import Limits
from p2bot_parlai.tools.web.page import WORDING, Page, gr
from p2bot_parlai.tools.web.talk import Studio, Talk
from p2bot_parlai.tools.web.visitors import CHAT, DUET, Visitors

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_drawing = threading.Lock()  # matplotlib's settings are everybody's


@dataclass
class Cast:
    """
    Who may be met on the page.

    :param personas: to pick from, and whose sentences an impression may choose from.
    :param draw: another one at random.
    :param bot: the persona that a new visitor finds for the bot. :param visitor: for himself.
    """

    personas: list[list[str]]
    draw: object
    bot: list[str]
    visitor: list[str] = field(default_factory=list)


class Site:
    """
    The page as an ASGI application.

    :param app: what a server serves. :param visitors: who is there.
    """

    def __init__(
        self,
        bot: P2Bot,
        cast: Cast,
        limits: Limits,
        host: str,
        port: int,
        model: str,
        seed: int | None = None,
    ):
        self.limits, self.visitors = limits, Visitors(limits)
        # cookies know no ports: two pages on one machine would forget each other's visitors
        self.cookie = f"p2bot_{port}"
        self.workers = ThreadPoolExecutor(limits.replies_at_once, "reply")
        bank = list(dict.fromkeys(s for persona in cast.personas for s in persona))
        studio = Studio(bot, Judge(bot), bank, limits, self.workers, seed)
        first = (cast.bot, cast.visitor)
        self.page = Page(studio, self.visitors, cast.personas, first, cast.draw, self.cookie, model)
        inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        for name in (CHAT, DUET):
            self._serve_downloads(inner, name)
        blocks = self.page.build()
        inner = gr.mount_gradio_app(inner, blocks, "/", host, port, **self.page.mounted())
        events = {number: len(event.inputs) for number, event in blocks.fns.items()}
        self.app = Guard(inner, self.visitors, limits, self.cookie, host in LOOPBACK, events)

    def _serve_downloads(self, app: FastAPI, name: str) -> None:
        def talk_of(request: Request) -> Talk | None:
            visit = self.visitors.find(visitor_key(request.cookies.get(self.cookie), None))
            return visit.talks.get(name) if visit else None

        @app.get(f"/{name}.json")
        def chat(request: Request) -> Response:
            talk = talk_of(request)
            if talk is None:
                return Response("nothing was said yet", 404)
            text = json.dumps(talk.to_json(), ensure_ascii=False, indent=1) + "\n"
            return _file(text.encode(), "application/json", f"p2bot-{name}.json")

        @app.get(f"/{name}-{{who}}.png")
        def relevance(request: Request, who: str) -> Response:
            talk, place = talk_of(request), ("first", "second").index(who)
            if talk is None or not talk.shown[place].relevance:
                return Response("there is no map yet", 404)
            picture = draw(talk, place, WORDING[name].maps[place])
            return _file(picture, "image/png", f"p2bot-{name}-{who}.png")


def draw(talk: Talk, who: int, title: str) -> bytes:
    """The map of one speaker as PNG."""
    shown = talk.shown[who]
    with _drawing, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.png"
        values = np.array(shown.relevance)
        draw_relevance_map(values, shown.utterances, shown.sentences, str(path), title)
        return path.read_bytes()


def _file(content: bytes, kind: str, name: str) -> Response:
    headers = {
        "content-disposition": f'attachment; filename="{name}"',
        "cache-control": "no-store",
    }
    return Response(content, media_type=kind, headers=headers)


def bind(host: str, port: int) -> socket.socket:
    """
    The port, ours from now on.

    :raises P2botError: where it is taken or may not be used, or the host is none of ours.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise P2botError(
            f"cannot serve on --host {host} --port {port}: {reason}; choose another --port"
        ) from error
    return found


def serve(site: Site, listening: socket.socket) -> None:
    """Until Ctrl-C or SIGTERM; who is connected then has a second to leave."""
    config = uvicorn.Config(
        site.app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="none"
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # the way to end it
        pass
    finally:
        for visit in site.visitors.all():
            for talk in visit.talks.values():
                talk.stop()
        site.workers.shutdown(wait=False, cancel_futures=True)
