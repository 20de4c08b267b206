"""
Many conversations at once with the page of `parlai p2bot_web`, on this machine.

    python bench/web_load.py [-mf zoo:p2bot/sketch/model] [--conversations 50] [--seconds 120]

Each conversation is a browser with a cookie of its own, that sends a message, waits for the
whole answer, thinks for a while and sends the next. At the end what the page remembers of each
(chat.json) is compared with what was sent and received: anything mixed up or lost is an error.
After half of the time another client begins to flood the page. Prints seconds from message to
whole answer (median, 95th percentile) of either half, and what became of the flood.
"""

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import httpx

GRADIO = "/gradio_api/queue"
FLOOD = 20  # requests of the flooding client under way at once
PATIENCE = 300  # seconds for one answer


@dataclass
class Found:
    """
    What one conversation saw.

    :param answers: (when it was sent, seconds to its answer). :param places: in the queue, as
        they were told. :param errors: what went wrong.
    """

    answers: list[tuple[float, float]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def _client(address: str) -> httpx.AsyncClient:
    """This machine is reached without any proxy."""
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=address, timeout=PATIENCE, trust_env=False, limits=limits)


class Browser:
    """One visitor. :param event: the number of what the page does with a message."""

    def __init__(self, address: str, number: int, event: int):
        self.http = _client(address)
        self.session, self.event = f"visitor{number}", event
        self.said: list[tuple[str, str]] = []

    async def open(self) -> None:
        (await self.http.get("/")).raise_for_status()  # brings the cookie

    async def say(self, message: str, found: Found) -> str:
        """The whole answer. :raises RuntimeError: where the page gives none."""
        body = {"data": [message], "fn_index": self.event, "session_hash": self.session}
        joined = await self.http.post(f"{GRADIO}/join", json=body)
        if joined.status_code != 200:
            raise RuntimeError(f"{joined.status_code} {joined.text}")
        query = {"session_hash": self.session}
        async with self.http.stream("GET", f"{GRADIO}/data", params=query) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                told = json.loads(line.removeprefix("data:"))
                if told["msg"] == "estimation":
                    found.places.append(told["rank"])
                if told["msg"] == "process_completed":
                    if not told["success"]:
                        raise RuntimeError(str(told["output"]))
                    answer = told["output"]["data"][0]
                    self.said.append((message, answer))
                    return answer
        raise RuntimeError("the answer ended early")

    async def check(self) -> list[str]:
        """What the page remembers otherwise than it was."""
        if not self.said:
            return []
        saved = (await self.http.get("/chat.json")).json()
        there = [(turn["speaker"], turn["text"]) for turn in saved["turns"]]
        here = [turn for pair in self.said for turn in zip(("partner", "bot"), pair, strict=True)]
        return [] if there == here else [f"{self.session}: remembered {there}, was {here}"]


async def converse(browser: Browser, end: float, thinking: float, found: Found) -> None:
    """Messages until ``end``, each with the visitor's own name in it."""
    rng = random.Random(browser.session)
    await asyncio.sleep(rng.uniform(0, thinking))
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            await browser.say(f"hello , i am {browser.session} , {len(browser.said)}", found)
        except (RuntimeError, httpx.HTTPError) as error:
            found.errors.append(f"{browser.session}: {error!r}")
        else:
            found.answers.append((began, time.monotonic() - began))
        await asyncio.sleep(rng.uniform(0.5, 1.5) * thinking)


async def flood(address: str, event: int, begin: float, end: float) -> dict[int, int]:
    """Status codes of requests as fast as they go, all of one session."""
    codes: dict[int, int] = {}
    await asyncio.sleep(max(0, begin - time.monotonic()))
    body = {"data": ["flood"], "fn_index": event, "session_hash": "flood"}

    async def one(http):
        while time.monotonic() < end:
            status = (await http.post(f"{GRADIO}/join", json=body)).status_code
            codes[status] = codes.get(status, 0) + 1

    async with _client(address) as http:
        await asyncio.gather(*(one(http) for _ in range(FLOOD)))
    return codes


async def event_of(address: str) -> int:
    """The number of what the page does with a message."""
    async with _client(address) as http:
        config = (await http.get("/config")).json()
    (event,) = [each["id"] for each in config["dependencies"] if each["api_name"] == "reply"]
    return event


async def load(address: str, conversations: int, seconds: float, thinking: float) -> dict:
    """Everything at once; the figures."""
    event = await event_of(address)
    browsers = [Browser(address, number, event) for number in range(conversations)]
    found = [Found() for _ in browsers]
    await asyncio.gather(*(browser.open() for browser in browsers))
    began = time.monotonic()
    middle, end = began + seconds / 2, began + seconds
    *_, codes = await asyncio.gather(
        *(converse(b, end, thinking, f) for b, f in zip(browsers, found, strict=True)),
        flood(address, event, middle, end),
    )
    differences = [why for browser in browsers for why in await browser.check()]
    for browser in browsers:
        await browser.http.aclose()
    answers = [pair for f in found for pair in f.answers]
    return {
        "conversations": conversations,
        "answers": len(answers),
        "fewest": min(len(f.answers) for f in found),
        "errors": [why for f in found for why in f.errors],
        "mixed_up_or_lost": differences,
        "highest_place_in_queue": max((place for f in found for place in f.places), default=0),
        "before_the_flood": _spread([s for at, s in answers if at < middle]),
        "during_the_flood": _spread([s for at, s in answers if at >= middle]),
        "flood": codes,
    }


def _spread(times: list[float]) -> dict:
    if len(times) < 2:
        return {"answers": len(times)}
    cuts = statistics.quantiles(times, n=20)
    found = {"median": statistics.median(times), "p95": cuts[-1], "longest": max(times)}
    return {"answers": len(times), **{name: round(value, 2) for name, value in found.items()}}


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("-mf", "--model-file", default="zoo:p2bot/sketch/model")
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--thinking", type=float, default=5, help="mean seconds before a message")
    args = parser.parse_args(arguments)
    command = [sys.executable, "-m", "p2bot_parlai", "p2bot_web", "-mf", args.model_file]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as page:
        try:
            address = None
            for line in page.stdout:
                if match := re.search(r"P²Bot is at (http://\S+)", line):
                    address = match[1]
                    break
            if address is None:
                sys.exit("the page did not start")
            found = asyncio.run(load(address, args.conversations, args.seconds, args.thinking))
        finally:
            page.terminate()
    print(json.dumps(found, indent=1))
    if found["errors"] or found["mixed_up_or_lost"]:
        sys.exit(1)
    return found


if __name__ == "__main__":
    main()
