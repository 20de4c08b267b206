"""A page that serves from a thread of this process."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from p2bot_parlai.tools.web.limits import Limits
from p2bot_parlai.tools.web.server import Cast, Site, bind

PERSONAS = [
    ["i like tea.", "i have two dogs."],
    ["i work as a nurse.", "i play the guitar."],
    ["i live in a small town.", "i eat pizza."],
]


@contextmanager
def serving(bot, personas=PERSONAS, model="tiny/model", **limits):
    """(address, site) of a page that serves until the block ends."""
    with bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        cast = Cast(personas, lambda: personas[2], personas[0])
        limits = replace(Limits(), **limits)
        site = Site(bot, cast, limits, "127.0.0.1", port, model, seed=1)
        config = uvicorn.Config(site.app, log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        given = {"sockets": [listening]}
        thread = threading.Thread(target=server.run, kwargs=given, daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{port}", site
        finally:
            server.should_exit = True
            thread.join(20)
            site.workers.shutdown()


def until(condition, seconds: float = 180):
    """Wait for it; fails where it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
