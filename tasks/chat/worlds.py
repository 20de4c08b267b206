"""The world of ``parlai interactive -t p2bot:chat``."""

import random

from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.worlds import validate
from parlai.utils.io import PathManager
from parlai.utils.strings import colorize

from p2bot_parlai.agents.options.selfplay import receiver_beside
from p2bot_parlai.chat.commands import Chat, help_text, save, why
from p2bot_parlai.chat.personas import split_persona
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.method.spelling import CorpusSpelling, show
from p2bot_parlai.parlai_support.names import zoo_path
from p2bot_parlai.tasks.chat.persona_worlds import (
    InteractiveWorld,
    as_shown,
    persona_block,
    seed_everything,
    told,
)
from p2bot_parlai.tasks.sketch.draw import Draw
from p2bot_parlai.tasks.sketch.people import people


class InteractiveChatWorld(InteractiveWorld):
    """
    A human talks with a bot that has a persona, and gives commands in between.

    A line that begins with ``/`` is a command. Without ``--persona`` every chat is with
    another person of `p2bot:sketch`.
    """

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        if "--receiver" not in parser._option_string_actions:
            parser.add_argument_group("Chat with personas").add_argument(
                "--receiver",
                type=str,
                default=None,
                help="Model file of a trained Receiver (-m p2bot/receiver), for /why; default: "
                "the file receiver beside the model, if there is one",
            )
        return parser

    def init_contexts(self, shared=None):
        opt = self.opt
        self.receiver = zoo_path(opt["datapath"], opt.get("receiver"), "--receiver")
        self.receiver = self.receiver or receiver_beside(opt.get("model_file") or "")
        # one from the model's saved options may be gone, which matters only to /why
        if opt.get("override", {}).get("receiver") and not PathManager.exists(self.receiver):
            raise P2botError(f"--receiver {self.receiver}: there is no such file")
        self.perceiver: Perceiver | None = None
        self.chosen = None if opt.get("persona") is None else split_persona(opt["persona"])
        self.chat = Chat(partner_persona=split_persona(opt.get("partner_persona") or ""))
        seed = opt.get("seed")
        self.people = people(Draw(f"chat {random.random() if seed is None else seed}"))
        seed_everything(opt)
        self.type_in = self.agents[0].act
        self.agents[0].act = self.next_message
        self.translate()
        print(colorize("Lines that begin with / are commands: /help lists them.", "highlight"))

    # ------------------------------------------------------------------------- the chat
    def get_contexts(self):
        self.chat.turns = []
        persona = next(self.people).original if self.chosen is None else self.chosen
        self.chat.persona = list(persona)
        if self.opt["display_partner_persona"]:
            self.show_personas()
        return "", told(self.spelling, self.chat.persona)

    def show_personas(self) -> None:
        own = self.chat.partner_persona
        shown = {"The bot's persona": self.chat.persona} | ({"You play": own} if own else {})
        print(persona_block(as_shown(self.spelling, shown)))

    def parley(self):
        """One exchange."""
        try:
            super().parley()
        except P2botError as error:  # a persona that leaves no room: it can be changed
            print(colorize(str(error), "red"))
            if self.turn_cnt == 0:
                self.reset()  # or the next persona would come on top
            return
        if self.turn_cnt > len(self.chat.turns):
            answer = show(self.acts[1].get("text") or "", self.spelling.speech)
            self.chat.turns.append((self.typed, answer))

    def next_message(self) -> Message:
        """
        The human's next utterance, after obeying the commands before it.

        :raises StopIteration: if this chat is over, as ParlAI's human does.
        """
        while True:
            message = self.type_in()
            if "text" not in message:  # end of input
                raise StopIteration
            if not message["text"].startswith("/"):
                return message
            name, _, argument = message["text"].partition(" ")
            try:
                self.obey(name, argument.strip())
            except P2botError as error:
                print(colorize(str(error), "red"))

    # --------------------------------------------------------------------- the commands
    def obey(self, name: str, argument: str) -> None:
        """:raises P2botError: if it cannot; the chat continues."""
        if name == "/persona":
            self.change_persona(argument)
        elif name == "/why":
            print(why(self.chat, self.perceives()))
        elif name == "/save":
            if not argument:
                raise P2botError("/save needs a name: /save FILE")
            print(f"wrote {save(self.chat, argument)}")
        elif name == "/reset":
            raise StopIteration
        elif name == "/help":
            print(help_text())
        else:
            print(help_text())
            raise P2botError(f"there is no command {name}; the list above has all")

    def change_persona(self, text: str) -> None:
        """Give the bot another persona, as a ConvAI2 message does; without a text show it."""
        persona = split_persona(text)
        if text and not persona:
            raise P2botError('/persona needs sentences, separated by "|"')
        if persona:
            self.chosen = self.chat.persona = persona
            text = told(self.spelling, persona)
            if self.turn_cnt == 0:
                self.p2 = text  # not told yet
            else:
                context = {"id": "context", "text": text, "episode_done": False}
                self.agents[1].observe(validate(Message(context)))
        self.show_personas()

    def perceives(self) -> Perceiver:
        if self.perceiver is None:
            if not self.receiver:
                raise P2botError(
                    "/why needs a Receiver: start with --receiver MODEL, trained with "
                    "-m p2bot/receiver, e.g. --receiver zoo:p2bot/smollm2/receiver"
                )
            self.perceiver = load_perceiver(self.receiver)
            if self.opt.get("raw_text"):
                self.perceiver.spelling = CorpusSpelling()
        return self.perceiver
