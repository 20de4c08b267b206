"""
Replies a second of the HTTP service: many clients at once against one at a time.

    python bench/serve.py zoo:p2bot/sketch/model
    python bench/serve.py MODEL --precision bf16 --pairs 5 --json results.json

Each client has a conversation of its own. Both sides alternate in one run; the ratio is the median
of the pairs. One client alone talks as long as the many do, so that both take a similar time.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import uvicorn
from measure import now

from p2bot_parlai import P2Bot
from p2bot_parlai.tools.serve.app import make_app
from p2bot_parlai.tools.web import server

PERSONA = ["I have two dogs.", "I work as a nurse.", "I like to cook.", "I live in a small town."]
SAID = ["Hi, how are you today?", "What do you do for a living?", "Do you have any pets?"]


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", help="model file of a Transmitter, or a zoo name")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--alone", type=int, default=4, help="conversations of the one client")
    parser.add_argument("--pairs", type=int, default=3, help="of runs, after a warm-up")
    parser.add_argument("--beam-size", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args(arguments)
    options = {"inference": "beam", "beam_size": args.beam_size, "precision": args.precision}
    bot = P2Bot.load(args.model, **options)
    found: dict[str, list[float]] = {"alone": [], "together": []}
    with serving(bot, args.clients) as address:
        for run in range(args.pairs + 1):
            rates = {
                "alone": rate(address, 1, args.alone),
                "together": rate(address, args.clients, args.clients),
            }
            if run:  # the first one warms up
                for side, value in rates.items():
                    found[side].append(value)
    pairs = zip(found["together"], found["alone"], strict=True)
    results = {"ratio": statistics.median(many / one for many, one in pairs), **found}
    one, many = (statistics.median(found[side]) for side in ("alone", "together"))
    print(f"one client: {one:.2f} replies/s; {args.clients} clients: {many:.2f}", end=" ")
    print(f"({results['ratio']:.1f} times)")
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def rate(address: str, clients: int, conversations: int) -> float:
    """Replies a second."""
    with ThreadPoolExecutor(clients) as pool:
        paths = list(pool.map(lambda _: begin(address), range(conversations)))
        started = now()
        list(pool.map(talk, paths))
        return conversations * len(SAID) / (now() - started)


def begin(address: str) -> str:
    return f"{address}/conversations/{post(f'{address}/conversations', persona=PERSONA)['id']}"


def talk(path: str) -> None:
    for text in SAID:
        post(f"{path}/say", text=text)


def post(url: str, **body) -> dict:
    headers = {"content-type": "application/json"}
    with urlopen(Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


@contextmanager
def serving(bot: P2Bot, conversations: int) -> Iterator[str]:
    """The address of the service, in a thread of this process."""
    with server.bind("127.0.0.1", 0) as listening:
        app = make_app(bot, "model", "127.0.0.1", conversations)
        running = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        given = {"sockets": [listening]}
        thread = threading.Thread(target=running.run, kwargs=given, daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield server.address(listening)
        running.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
