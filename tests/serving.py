"""A page that serves from a thread of this process, and a browser to see it."""

import shutil
import threading
import time
from contextlib import contextmanager

import uvicorn

from p2bot_parlai.tools.web import server

PERSONAS = [
    ["i like tea.", "i have two dogs."],
    ["i work as a nurse.", "i play the guitar."],
    ["i live in a small town.", "i eat pizza."],
]


@contextmanager
def serving(app):
    """
    The address of a page that serves until the block ends.

    :param app: makes it, given its port.
    """
    with server.bind("127.0.0.1", 0) as listening:
        app = app(listening.getsockname()[1])
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, ws="none")
        running = uvicorn.Server(config)
        given = {"sockets": [listening]}
        thread = threading.Thread(target=running.run, kwargs=given, daemon=True)
        thread.start()
        end = time.monotonic() + 180
        while not running.started:
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.01)
        try:
            yield server.address(listening)
        finally:
            running.should_exit = True
            thread.join(20)


@contextmanager
def chromium(width: int, height: int):
    """A headless Chromium that notes what it complains about and fetches."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # found here, or Selenium looks for one on the network
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()
