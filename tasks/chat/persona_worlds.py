"""
The worlds of ``parlai interactive`` and ``parlai self_chat``: ParlAI's, with personas that
can be chosen, are shown, and repeat with ``--seed``. They work with any model.

convai2's own worlds reseed the random generator at every chat, use a single persona file and
are not found for ``convai2:self_original``.
"""

import random

import torch
from parlai.core.agents import Agent
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.tasks.interactive.worlds import InteractiveWorld as StockInteractiveWorld
from parlai.tasks.self_chat.worlds import SelfChatWorld as StockSelfChatWorld
from parlai.utils.data import DatatypeHelper

from p2bot_parlai.chat.personas import ChatPersonas, Persona, persona_text
from p2bot_parlai.errors import UsageError
from p2bot_parlai.method.context import SILENCE, parse_message
from p2bot_parlai.method.spelling import CorpusSpelling, Spelling, read, show
from p2bot_parlai.parlai_support.dialogues import episodes, teacher_of

RULE = "-" * 60


RAW_TEXT = (
    "Take texts as they are typed, and show them as the model says them; default: capitals, marks "
    "and contractions are changed to the spelling of the training data and back"
)


def add_chat_options(parser: ParlaiParser) -> ParlaiParser:
    """
    ``--persona``, ``--partner-persona``, ``--raw-text`` and ``--seed``, where they are not there
    yet.
    """
    group = parser.add_argument_group("Chat with personas")
    for flag, kind, what in (
        (
            "--persona",
            str,
            'Persona of the bot (self_chat: of the first), sentences separated by "|", e.g. '
            '"i like tea.|i have two dogs."; default: drawn from the task, where it has any',
        ),
        ("--partner-persona", str, "The same for the human (self_chat: for the second bot)"),
        ("--raw-text", "bool", RAW_TEXT),
        ("--seed", int, "Makes personas and sampled replies repeat; default: random"),
    ):
        if flag not in parser._option_string_actions:
            group.add_argument(flag, type=kind, default=None, help=what)
    return group


def seed_everything(opt: Opt) -> None:
    """Makes sampled replies repeat; the agents are built, which uses random numbers too."""
    if opt.get("seed") is not None:
        random.seed(opt["seed"])
        torch.manual_seed(opt["seed"])


def persona_block(personas: dict[str, Persona]) -> str:
    """Personas with their owners, one sentence a line."""
    lines = [RULE]
    for whose, persona in personas.items():
        lines += [f"{whose}:", *(f"  {sentence}" for sentence in persona or ["(no persona)"])]
    return "\n".join([*lines, RULE])


def spelling_of(agent: Agent, opt: Opt) -> CorpusSpelling:
    """Of what an agent of ours learnt; unknown with ``--raw-text`` and for other agents."""
    from p2bot_parlai.agents.learning import Learner  # transformers, which takes seconds

    known = isinstance(agent, Learner) and not opt.get("raw_text")
    return agent.spelling if known else CorpusSpelling()


def told(spelling: CorpusSpelling, own: Persona, partner: Persona = ()) -> str:
    """`persona_text` in an agent's spelling."""
    return persona_text(*([read(s, spelling.profile) for s in who] for who in (own, partner)))


def as_shown(spelling: CorpusSpelling, personas: dict[str, Persona]) -> dict[str, Persona]:
    """Personas by owner, as people write."""
    return {
        whose: [show(s, spelling.profile) for s in persona] for whose, persona in personas.items()
    }


def changed(message: Message, change, spelling: CorpusSpelling) -> Message:
    """A message with its text through `read` or `displayed`."""
    text = message.get("text")
    return message if text is None else Message({**message, "text": change(text, spelling.speech)})


def displayed(text: str, spelling: Spelling) -> str:
    """`show`; of an empty message ParlAI would not even display the speaker."""
    return show(text, spelling) or "(says nothing)"


class InteractiveWorld(StockInteractiveWorld):
    """A human talks with a bot that has a persona; the human may have one too."""

    interrupted = False  # by Ctrl-C

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_chat_options(parser).add_argument(
            "--display-partner-persona",
            type="bool",
            default=True,
            help="Show the human the bot's persona at the start of the chat",
        )
        return parser

    def init_contexts(self, shared=None):
        self.personas = ChatPersonas(self.opt, alone=True)
        seed_everything(self.opt)
        self.agents[0].act = _until_end_of_input(self.agents[0].act)
        self.translate()

    def translate(self) -> None:
        """The human types and reads as people do, the bot in the spelling that it learnt."""
        self.spelling = spelling_of(self.agents[1], self.opt)
        human, self.typed = self.agents[0], ""
        act, observe = human.act, human.observe

        def act_in_its_spelling():
            message = act()
            self.typed = message.get("text") or ""
            return changed(message, read, self.spelling)

        human.act = act_in_its_spelling
        human.observe = lambda message: observe(changed(message, displayed, self.spelling))

    def get_contexts(self):
        """Show the personas; the bot gets its own as a message before the first."""
        bot, human = self.personas.draw()
        shown: dict[str, Persona] = {}
        if self.opt["display_partner_persona"]:
            shown["The bot's persona"] = bot
        if human:
            shown["You play"] = human
        if shown:
            print(persona_block(as_shown(self.spelling, shown)))
        return "", told(self.spelling, bot, human if self.personas.shows_both else ())

    def parley(self):
        """One exchange. Ctrl-C ends the chat as [EXIT] does: its log is written."""
        try:
            super().parley()
        except KeyboardInterrupt:
            self.interrupted = True

    def epoch_done(self) -> bool:
        return self.interrupted or super().epoch_done()


def _until_end_of_input(act):
    """
    End of input ends the chat as [EXIT] does; ParlAI's human then acts without a text, which
    the bot would answer.
    """

    def act_or_stop():
        message = act()
        if "text" not in message:
            raise StopIteration
        return message

    return act_or_stop


class SelfChatWorld(StockSelfChatWorld):
    """Two bots with personas talk; the first opens from its persona alone."""

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None):
        super().add_cmdline_args(parser, partial_opt)
        add_chat_options(parser)
        return parser

    def init_contexts(self, shared=None):
        self.personas = ChatPersonas(self.opt)
        self.spellings = [spelling_of(agent, self.opt) for agent in self.agents]
        seed_everything(self.opt)

    def init_openers(self):
        """
        The first messages of the dialogues of a task, without the personas in them.

        ParlAI would read the task of the name before the colon, and take none from no task.
        """
        if not self.opt.get("seed_messages_from_task"):
            super().init_openers()
        elif self.opt["task"] == "self_chat":
            raise UsageError("--seed-messages-from-task true: name the task with -t TASK")
        else:
            fold = DatatypeHelper.fold(self.opt["datatype"])
            first = (
                next(iter(e), {}) for e in episodes(teacher_of(self.opt, self.opt["task"], fold))
            )
            utterances = (parse_message(message.get("text") or "").utterance for message in first)
            speech = self.spellings[0].speech
            self._openers = list(
                dict.fromkeys(read(said, speech) for said in filter(None, utterances))
            )

    def get_contexts(self):
        self.drawn = first, second = self.personas.draw()
        if not first and not second:
            return super().get_contexts()  # nothing to open from: ParlAI's own opener
        others = (second, first) if self.personas.shows_both else ((), ())
        texts = map(told, self.spellings, self.drawn, others)
        return [text or SILENCE for text in texts]

    def display(self) -> str:
        contexts = all(act and act.get("id") == "context" for act in self.acts)
        if not contexts or not any(self.drawn):
            acts = self.acts
            self.acts = [
                changed(act, displayed, spelling)
                for act, spelling in zip(acts, self.spellings, strict=True)
            ]
            try:
                return super().display()
            finally:
                self.acts = acts  # which are logged
        names = (f"Persona of {agent.getID()}" for agent in self.agents)
        drawn = dict(zip(names, self.drawn, strict=True))
        return persona_block(as_shown(self.spellings[0], drawn))
