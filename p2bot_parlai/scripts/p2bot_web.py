"""
``parlai p2bot_web``: a web page to talk with a bot and see what it perceives.

Needs the extra ``web``; see docs/web.md.
"""

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from parlai.core.build_data import modelzoo_path
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.chat.personas import load_personas, split_persona
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.tasks.chat.persona_worlds import add_chat_options
from p2bot_parlai.tasks.sketch.draw import Draw
from p2bot_parlai.tasks.sketch.people import people

if TYPE_CHECKING:
    from p2bot_parlai.chat.api import P2Bot

DRAWN = 40  # sketch personas on the page, if no task provides its own
# options of the page; all others are the model's
OF_THE_PAGE = {
    *("receiver", "host", "port", "max_visitors", "max_turns", "persona", "partner_persona"),
    *("seed", "task", "model_file", "datatype", "verbose", "loglevel", "display_partner_persona"),
}


def setup_args() -> ParlaiParser:
    parser = ParlaiParser(True, True, "Talk with a bot in a browser")
    group = parser.add_argument_group("Web page")
    group.add_argument(
        "--host",
        type=str,
        default="127.0.0.1",
        help="Address to listen on; the default serves only this machine, 0.0.0.0 everyone",
    )
    group.add_argument("--port", type=int, default=7860, help="Port to listen on; 0: any free port")
    group.add_argument(
        "--max-visitors",
        type=int,
        default=100,
        help="Maximum simultaneous visitors, each with their own conversations",
    )
    group.add_argument(
        "--max-turns", type=int, default=50, help="Maximum replies of the bot in one conversation"
    )
    if "--receiver" not in parser._option_string_actions:
        group.add_argument(
            "--receiver",
            type=str,
            default=None,
            help="Model file of a trained Receiver (-m p2bot/receiver); default: the file "
            "receiver beside the model, if there is one",
        )
    add_chat_options(parser)
    parser.set_defaults(datatype="valid")
    return parser


@register_script("p2bot_web")
class P2botWeb(ParlaiScript):
    """A web page to talk with a bot (-mf) that shows beside the chat what it perceives. Personas
    are drawn from -t, or generated."""

    @classmethod
    def setup_args(cls):
        return setup_args()

    def run(self) -> None:
        opt = self.opt
        if not opt.get("model_file"):
            raise UsageError("name a model with -mf MODEL, trained with -m p2bot")
        for flag, least in (("max_visitors", 1), ("max_turns", 1), ("port", 0)):
            if opt[flag] < least:
                raise UsageError(f"--{flag.replace('_', '-')} {opt[flag]} is less than {least}")
        server = _server()
        listening = server.bind(opt["host"], opt["port"])
        with listening:
            port = listening.getsockname()[1]
            bot = load_bot(opt)
            limits = server.Limits()
            limits = replace(limits, visitors=opt["max_visitors"], exchanges=opt["max_turns"])
            cast = choose_cast(opt, server.Cast)
            name = "/".join(Path(opt["model_file"]).parts[-2:])  # visitors need not know the path
            site = server.Site(bot, cast, limits, opt["host"], port, name, opt["seed"])
            for absent, why in site.page.studio.judge.absent.items():
                print(f"without the {absent} reward: {why}")
            shown = f"[{opt['host']}]" if ":" in opt["host"] else opt["host"]
            print(f"P²Bot is at http://{shown}:{port} (Ctrl-C stops it)", flush=True)
            server.serve(site, listening)


def _server():
    """gradio takes seconds to import, and every ``parlai`` command imports this file."""
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise P2botError(
            f'p2bot_web needs {error.name}: pip install -c constraints.txt ".[web]"'
        ) from error
    from p2bot_parlai.tools.web import server

    return server


def load_bot(opt: Opt) -> "P2Bot":
    """The model with the options of the command line; without ``--receiver`` one is looked for."""
    from p2bot_parlai.chat.api import P2Bot  # imports transformers, which takes seconds too

    given = {k: v for k, v in opt.get("override", {}).items() if k not in OF_THE_PAGE}
    given["datapath"] = opt["datapath"]
    receiver = opt.get("override", {}).get("receiver")
    if receiver:
        receiver = modelzoo_path(opt["datapath"], receiver)
    return P2Bot.load(opt["model_file"], receiver=receiver, **given)


def choose_cast(opt: Opt, cast):
    """
    Choose personas from the task (``-t``) or from `p2bot:sketch`; the first one is the bot's.

    :raises P2botError: for a task without personas.
    """
    task = opt.get("override", {}).get("task")
    seed = opt.get("seed")
    rng = random.Random(seed)
    if task:
        personas = [list(persona) for persona in load_personas(opt)]
        if not personas:
            raise P2botError(f"-t {task} has no personas: leave it out, or name another task")
        rng.shuffle(personas)
    else:
        drawn = people(Draw(f"web {rng.random()}"))
        personas = [next(drawn).original for _ in range(DRAWN)]
    bot = personas[0] if opt["persona"] is None else list(split_persona(opt["persona"]))
    visitor = list(split_persona(opt["partner_persona"] or ""))
    return cast(personas, lambda: rng.choice(personas), bot, visitor)


if __name__ == "__main__":
    P2botWeb.main()
