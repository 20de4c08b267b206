"""
``parlai p2bot_serve``: conversations with a bot over HTTP, for programs.

Needs the extra ``serve``; docs/serving.md describes the service.
"""

import os
from pathlib import Path

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.errors import UsageError
from p2bot_parlai.scripts.p2bot_web import add_serving_options, load_bot
from p2bot_parlai.tools.web import need_extra

KEY = "P2BOT_API_KEY"


@register_script("p2bot_serve")
class P2botServe(ParlaiScript):
    """Conversations with a bot (-mf) over HTTP, also for OpenAI's clients."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, True, "Serve a bot over HTTP")
        group = add_serving_options(parser, "HTTP service", 8000)
        group.add_argument(
            "--api-key",
            help=f"Key that requests have to bring (Authorization: Bearer KEY); better in the "
            f"environment, {KEY}, where other users of the machine do not see it; default: none",
        )
        group.add_argument(
            "--allowed-origins",
            nargs="+",
            metavar="ORIGIN",
            help="Other sites whose pages may call, e.g. https://example.org, or * for all",
        )
        group.add_argument(
            "--max-conversations",
            type=int,
            default=100,
            help="Conversations kept at once, each with its encoded context; beyond that the "
            "least recently used is dropped",
        )
        parser.set_defaults(datatype="valid")
        return parser

    def run(self) -> None:
        opt = self.opt
        if not opt.get("model_file"):
            raise UsageError("name the model: -mf MODEL, trained with -m p2bot")
        if opt["max_conversations"] < 1:
            raise UsageError(f"--max-conversations {opt['max_conversations']} is not at least 1")
        need_extra("fastapi", "uvicorn", extra="serve")
        from p2bot_parlai.tools.serve.app import REQUESTS, make_app  # every command imports this
        from p2bot_parlai.tools.web import server
        from p2bot_parlai.tools.web.guard import LOOPBACK

        key = opt["api_key"] or os.environ.get(KEY)
        with server.bind(opt["host"], opt["port"]) as listening:
            bot = load_bot(opt)
            name = "/".join(Path(opt["model_file"]).parts[-2:])  # clients see no full path
            kept, origins = opt["max_conversations"], opt["allowed_origins"] or ()
            app = make_app(bot, name, opt["host"], kept, key, origins)
            if opt["host"] not in LOOPBACK and not key:
                print(f"anyone who reaches this address can talk: set {KEY} for a key")
            print(f"P²Bot is at {server.address(listening)}, described at /docs", end=" ")
            print("(Ctrl-C lets it finish what it is saying, and stops it)", flush=True)
            server.serve(app, listening, patience=None, requests=REQUESTS)
