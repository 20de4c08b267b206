"""
``parlai p2bot_web``: talk with a bot in a browser and see what it perceives.

Needs the extra ``web``; docs/web.md describes the page.
"""

import random
from pathlib import Path
from typing import TYPE_CHECKING

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from p2bot_parlai.chat.personas import load_personas, split_persona
from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.method.spelling import show
from p2bot_parlai.tasks.chat.persona_worlds import add_chat_options
from p2bot_parlai.tasks.sketch.draw import Draw
from p2bot_parlai.tasks.sketch.people import people
from p2bot_parlai.tools.web import need_extra
from p2bot_parlai.tools.web.limits import Limits

if TYPE_CHECKING:
    from p2bot_parlai.chat.api import P2Bot

DRAWN = 40  # personas from p2bot:sketch if no task is given
# options of the page, or the HTTP service; all others are passed to the model
OF_THE_PAGE = {
    *("receiver", "host", "port", "persona", "partner_persona", "gpu", "no_cuda"),
    *("api_key", "allowed_origins", "max_conversations"),
    *("seed", "task", "model_file", "datatype", "verbose", "loglevel", "display_partner_persona"),
}


@register_script("p2bot_web")
class P2botWeb(ParlaiScript):
    """A web page to talk with a bot (-mf) that shows what it perceives; personas come from -t, or
    are made up."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        parser = ParlaiParser(True, True, "Talk with a bot in a browser")
        add_serving_options(parser, "Web page", 7860)
        add_chat_options(parser)
        parser.set_defaults(datatype="valid")
        return parser

    def run(self) -> None:
        opt = self.opt
        if not opt.get("model_file"):
            raise UsageError("name the model: -mf MODEL, trained with -m p2bot")
        need_extra("gradio")
        from p2bot_parlai.tools.web import page, server  # every command imports this file
        from p2bot_parlai.tools.web.rewards import ReplyRewards
        from p2bot_parlai.tools.web.talk import Studio

        with server.bind(opt["host"], opt["port"]) as listening:
            bot = load_bot(opt)
            personas, *own = choose_cast(opt)
            profile = bot.speaker.spelling.profile
            shown = [[show(sentence, profile) for sentence in who] for who in (*personas, *own)]
            cast = page.Cast(shown[:-2], *shown[-2:])
            bank = list(dict.fromkeys(s for persona in cast.personas for s in persona))
            studio = Studio(bot, ReplyRewards(bot), bank, Limits(), opt["seed"])
            model = "/".join(Path(opt["model_file"]).parts[-2:])  # visitors see no full path
            port = listening.getsockname()[1]
            app = page.make_app(studio, cast, opt["host"], port, model)
            for absent, why in studio.rewards.absent.items():
                print(f"without the {absent} reward: {why}")
            print(f"P²Bot is at {server.address(listening)} (Ctrl-C stops it)", flush=True)
            server.serve(app, listening)


def add_serving_options(parser: ParlaiParser, title: str, port: int):
    """``--host``, ``--port`` and ``--receiver``, in a group that is returned."""
    group = parser.add_argument_group(title)
    group.add_argument(
        "--host",
        default="127.0.0.1",
        help="Address to serve on; the default is this machine only, 0.0.0.0 is everyone",
    )
    group.add_argument("--port", type=int, default=port, help="Port to listen on; 0: any free port")
    if "--receiver" not in parser._option_string_actions:
        group.add_argument(
            "--receiver",
            help="Model file of a trained Receiver (-m p2bot/receiver); default: the file "
            "receiver beside the model, if there is one",
        )
    return group


def load_bot(opt: Opt) -> "P2Bot":
    """The model with the command line's options."""
    from p2bot_parlai.chat.api import P2Bot  # transformers, which takes seconds too

    given = {k: v for k, v in opt.get("override", {}).items() if k not in OF_THE_PAGE}
    given["datapath"] = opt["datapath"]
    if opt.get("no_cuda"):
        given["device"] = "cpu"
    elif opt.get("gpu", -1) >= 0:
        given["device"] = f"cuda:{opt['gpu']}"
    receiver = opt.get("override", {}).get("receiver")
    return P2Bot.load(opt["model_file"], receiver=receiver, **given)


def choose_cast(opt: Opt) -> tuple[list[list[str]], list[str], list[str]]:
    """
    Personas of the task (``-t``) or of `p2bot:sketch`, the bot's, and the visitor's.

    :raises P2botError: for a task without personas.
    """
    task = opt.get("override", {}).get("task")
    rng = random.Random(opt.get("seed"))
    if task:
        personas = [list(persona) for persona in load_personas(opt)]
        if not personas:
            raise P2botError(f"-t {task} has no personas: leave it out, or use another task")
        rng.shuffle(personas)
    else:
        drawn = people(Draw(f"web {rng.random()}"))
        personas = [next(drawn).original for _ in range(DRAWN)]
    bot = personas[0] if opt["persona"] is None else list(split_persona(opt["persona"]))
    return personas, bot, list(split_persona(opt["partner_persona"] or ""))
