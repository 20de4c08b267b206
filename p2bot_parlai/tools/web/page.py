"""The gradio page: what stands where, and which button does what."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2bot_parlai.tools.web import render
from p2bot_parlai.tools.web.guard import visitor_key
from p2bot_parlai.tools.web.limits import Refused
from p2bot_parlai.tools.web.talk import FIRST, SECOND, Shown, Studio, Talk
from p2bot_parlai.tools.web.visitors import CHAT, DUET, Visitors

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
import gradio as gr  # noqa: E402

STYLE_SHEET = Path(__file__).with_name("style.css")
OFFERED = 40  # personas in a list to pick from
SYSTEM_FONTS = ("ui-sans-serif", "system-ui", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "monospace")


@dataclass(frozen=True)
class Wording:
    """What differs between the two tabs. :param names: of the speakers in a chat."""

    names: tuple[str, str]
    empty: str
    maps: tuple[str, str]
    downloads: tuple[str, str]
    impressions: dict[int, str]


WORDING = {
    CHAT: Wording(
        ("You", "P²Bot"),
        "Say hello, or let the bot open.",
        ("What it perceives of you", "What you could perceive of it"),
        ("Map of you as PNG", "Map of the bot as PNG"),
        {FIRST: "Its impression of you"},
    ),
    DUET: Wording(
        ("A", "B"),
        "Choose two personas and let them talk.",
        ("What B perceives of A", "What A perceives of B"),
        ("Map of A as PNG", "Map of B as PNG"),
        {FIRST: "B's impression of A", SECOND: "A's impression of B"},
    ),
}


class Page:
    """
    :param personas: to pick from and to draw of.
    :param first: persona of the bot, and of the visitor, that a new visitor finds.
    :param draw: another persona at random.
    :param cookie: the name of the visitor's cookie.
    """

    def __init__(
        self,
        studio: Studio,
        visitors: Visitors,
        personas: Sequence[Sequence[str]],
        first: tuple[list[str], list[str]],
        draw: Callable[[], list[str]],
        cookie: str,
        model: str,
    ):
        self.studio, self.visitors, self.cookie = studio, visitors, cookie
        self.personas = [list(persona) for persona in personas[:OFFERED]]
        self.first, self.draw, self.model = first, draw, model
        self.chats: dict[str, _Tab] = {}

    def build(self) -> gr.Blocks:
        with gr.Blocks(title="P²Bot", analytics_enabled=False, fill_width=True) as blocks:
            gr.HTML(
                '<header class="p2-header"><h1>P²Bot</h1><p>Two people get to know each other: '
                f"talk, and see what each perceives of the other.</p><code>"
                f"{render.escape(self.model)}</code></header>"
            )
            with gr.Tabs():
                with gr.Tab("Talk with it"):
                    chat = self._chat_tab()
                with gr.Tab("Two bots talk"):
                    duet = self._duet_tab()
            tabs = (chat, duet)
            blocks.load(
                self._resume,
                outputs=[output for tab in tabs for output in (*tab.personas, *tab.views)],
                show_progress="hidden",
                api_visibility="private",
            )
            gr.api(self.reply, api_name="reply", **self._thinking())
        blocks.queue(default_concurrency_limit=None, max_size=10 * self.studio.limits.visitors)
        return blocks

    def mounted(self) -> dict:
        """What `gradio.mount_gradio_app` is told of the looks."""
        theme = gr.themes.Soft(
            primary_hue="blue", neutral_hue="slate", font=SYSTEM_FONTS, font_mono=SYSTEM_MONO
        )
        return {
            "theme": theme,
            "css_paths": STYLE_SHEET,
            "footer_links": [],
            "ssr_mode": False,
            "pwa": False,
            "show_error": True,
        }

    # ------------------------------------------------------------------------ what is where
    def _chat_tab(self) -> "_Tab":
        limits = self.studio.limits
        with gr.Accordion("Who is who", open=True, elem_id="chat-personas"), gr.Row():
            bot = self._persona_fields("The bot", self.first[0], "chat-bot")
            you = self._persona_fields("You, if you like", self.first[1], "chat-you")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                talk = gr.HTML(elem_id="chat-log")
                status = gr.HTML(elem_id="chat-status", elem_classes="p2-status", min_height=16)
                with gr.Row(elem_classes="p2-send"):
                    message = gr.Textbox(
                        placeholder="Write a message",
                        label="Message",
                        show_label=False,
                        max_length=limits.message,
                        lines=1,
                        max_lines=1,
                        scale=6,
                        min_width=180,
                        elem_id="chat-message",
                    )
                    send = gr.Button("Send", variant="primary", scale=1, min_width=80)
                with gr.Row():
                    opens = gr.Button("Let the bot speak", size="sm", min_width=120)
                    new = gr.Button("New chat with these personas", size="sm", min_width=120)
                links = gr.HTML()
            panels = self._panels(CHAT)
        tab = _Tab((bot, you), [talk, status, links, *panels])
        outputs = [message, *tab.views]
        given = [message, bot, you]
        thinking = self._thinking(show_progress="minimal", show_progress_on=status)
        gr.on([message.submit, send.click], self._say, given, outputs, **thinking)
        opens.click(self._open, [bot, you], tab.views, **thinking)
        new.click(self._new_chat, [bot, you], tab.views, **self._quick())
        return tab

    def _duet_tab(self) -> "_Tab":
        pool = self.personas
        with gr.Row():
            a = self._persona_fields("A, who opens", pool[0] if pool else [], "duet-a")
            b = self._persona_fields("B", pool[1] if len(pool) > 1 else [], "duet-b")
        with gr.Row(elem_classes="p2-send"):
            rounds = gr.Slider(1, 10, 4, step=1, label="Lines each", min_width=200)
            go = gr.Button("Let them talk", variant="primary", min_width=120)
            stop = gr.Button("Stop", min_width=80)
            new = gr.Button("Begin anew", min_width=100)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                talk = gr.HTML(elem_id="duet-log")
                status = gr.HTML(elem_id="duet-status", elem_classes="p2-status", min_height=16)
                links = gr.HTML()
            panels = self._panels(DUET)
        tab = _Tab((a, b), [talk, status, links, *panels])
        thinking = self._thinking(show_progress="minimal", show_progress_on=status)
        go.click(self._go_on, [a, b, rounds], tab.views, **thinking)
        stop.click(self._stop, **self._quick())
        new.click(self._new_duet, [a, b], tab.views, **self._quick())
        return tab

    def _persona_fields(self, title: str, sentences: Sequence[str], name: str) -> gr.Textbox:
        """Pick, write or draw a persona; the field that holds it, one sentence a line."""
        limits = self.studio.limits
        with gr.Column(min_width=280):
            field = gr.Textbox(
                "\n".join(sentences),
                label=f"{title}, one sentence a line",
                lines=4,
                max_lines=6,
                max_length=limits.sentences * (limits.sentence + 1),
                elem_id=name,
            )
            with gr.Row(elem_classes="p2-pick"):
                choices = [(" ".join(p)[:70], "\n".join(p)) for p in self.personas]
                pick = gr.Dropdown(
                    choices, value=None, label="or pick somebody", scale=3, min_width=130
                )
                draw = gr.Button(
                    "Draw one", scale=1, min_width=70, size="sm", elem_id=f"{name}-draw"
                )
                clear = gr.Button("Clear", scale=1, min_width=50, size="sm")
        pick.input(lambda chosen: chosen or "", pick, field, **self._quick())
        draw.click(lambda: "\n".join(self.draw()), None, field, **self._quick())
        clear.click(lambda: "", None, field, **self._quick())
        return field

    def _panels(self, name: str) -> list[gr.HTML]:
        """Beside the chat: who they are, both maps, the impressions, what the numbers mean."""
        wording, panels = WORDING[name], []
        with gr.Column(scale=6, min_width=320):
            panels.append(gr.HTML())
            panels += [gr.HTML() for _ in (*wording.maps, *wording.impressions)]
            gr.HTML(render.about_rewards(self.studio.judge))
        return panels

    def _thinking(self, **more) -> dict:
        """How events run that wait for replies: so many at once, the others in the queue."""
        limit = self.studio.limits.replies_at_once
        visibility = {} if not more else {"api_visibility": "private"}
        return {"concurrency_limit": limit, "concurrency_id": "replies", **visibility, **more}

    @staticmethod
    def _quick() -> dict:
        return {"show_progress": "hidden", "api_visibility": "private"}

    # ----------------------------------------------------------------------- what they do
    def _key(self, request: gr.Request) -> str:
        return visitor_key(request.cookies.get(self.cookie), request.session_hash)

    def _view(self, name: str, talk: Talk | None) -> list[str]:
        """What `_Tab.views` show."""
        wording, judge = WORDING[name], self.studio.judge
        no_receiver = judge.absent.get("persona")
        shown = talk.shown if talk else (Shown(), Shown())
        maps, impressions = [], []
        for who, title in enumerate(wording.maps):
            empty = no_receiver or f"The map grows with every utterance of {_whom(name, who)}."
            found = render.relevance_map(shown[who], title, empty)
            maps.append(render.titled(title, found))
        for who, title in wording.impressions.items():
            empty = no_receiver or f"Nothing yet: {_whom(name, who)} said nothing."
            impressions.append(render.titled(title, render.impression(shown[who], empty)))
        whose = ("You play", "The bot's persona") if name == CHAT else ("A is", "B is")
        personas = "".join(map(render.persona, talk.personas, whose)) if talk else ""
        labels = dict(zip(("first", "second"), wording.downloads, strict=True))
        return [
            render.chat(talk, wording.names, wording.empty, judge),
            render.status(talk),
            render.downloads(talk, name, labels),
            personas,
            *maps,
            *impressions,
        ]

    def _follow(self, name: str, talk: Talk) -> Iterator[list]:
        """The view at every change; what did not change is not sent again."""
        before: list = []
        for _ in talk.follow():
            view = self._view(name, talk)
            yield [
                gr.skip() if i < len(before) and before[i] == part else part
                for i, part in enumerate(view)
            ]
            before = view

    def _resume(self, request: gr.Request) -> Iterator[list]:
        """After a reload everything stands there again, and what is being said goes on."""
        visit = self.visitors.find(self._key(request))
        talks = [visit.talks.get(name) if visit else None for name in (CHAT, DUET)]
        fields = [
            [gr.skip(), gr.skip()] if talk is None else ["\n".join(p) for p in talk.personas]
            for talk in talks
        ]
        fields[0] = fields[0][::-1]  # there the bot's comes first
        views = [self._view(*pair) for pair in zip((CHAT, DUET), talks, strict=True)]
        yield [*fields[0], *views[0], *fields[1], *views[1]]
        same = [gr.skip()] * 2
        nothing = [[gr.skip()] * len(view) for view in views]
        for place, talk in enumerate(talks):
            if talk is not None and talk.busy:
                for view in self._follow((CHAT, DUET)[place], talk):
                    parts = [nothing[0], nothing[1]]
                    parts[place] = view
                    yield [*same, *parts[0], *same, *parts[1]]

    def _chat_of(self, key: str, bot: object, you: object, anew: bool = False) -> Talk:
        """
        The visitor's chat. Before anything is said the personas are those of the fields.

        :raises Refused: for personas that are too long, and where all places are taken.
        """
        visit = self.visitors.enter(key)
        talk = visit.talks.get(CHAT)
        if talk is None or anew or not (talk.lines or talk.busy):
            persona, own = map(self.studio.limits.checked_persona, (bot, you))
            return visit.replace(CHAT, self.studio.chat(persona, own))
        return talk

    def _duet_of(self, key: str, a: object, b: object, anew: bool = False) -> Talk:
        visit = self.visitors.enter(key)
        talk = visit.talks.get(DUET)
        if talk is None or anew or not (talk.lines or talk.busy):
            first, second = map(self.studio.limits.checked_persona, (a, b))
            return visit.replace(DUET, self.studio.duet(first, second))
        return talk

    def _say(self, message: object, bot: object, you: object, request: gr.Request):
        with _told():
            said = self.studio.limits.checked_message(message)
            talk = self._chat_of(self._key(request), bot, you)
            talk.say(said)
        empty = ""
        for view in self._follow(CHAT, talk):
            yield [empty, *view]
            empty = gr.skip()  # the next message is being written meanwhile
        if talk.fault:
            yield [said, *[gr.skip()] * len(view)]

    def _open(self, bot: object, you: object, request: gr.Request):
        with _told():
            talk = self._chat_of(self._key(request), bot, you)
            talk.say("")
        yield from self._follow(CHAT, talk)

    def _new_chat(self, bot: object, you: object, request: gr.Request):
        with _told():
            talk = self._chat_of(self._key(request), bot, you, anew=True)
        return self._view(CHAT, talk)

    def _go_on(self, a: object, b: object, rounds: object, request: gr.Request):
        with _told():
            if not isinstance(rounds, int | float) or not 1 <= rounds <= 10:
                raise Refused("They say 1 to 10 lines each.")
            talk = self._duet_of(self._key(request), a, b)
            talk.go_on(int(rounds))
        yield from self._follow(DUET, talk)

    def _stop(self, request: gr.Request) -> None:
        visit = self.visitors.find(self._key(request))
        if visit and DUET in visit.talks:
            visit.talks[DUET].stop()

    def _new_duet(self, a: object, b: object, request: gr.Request):
        with _told():
            talk = self._duet_of(self._key(request), a, b, anew=True)
        return self._view(DUET, talk)

    def reply(self, message: str, request: gr.Request) -> Iterator[str]:
        """
        For programs (gradio_client): say something in the visitor's chat; its answer so far,
        again and again until it is whole.
        """
        with _told():
            said = self.studio.limits.checked_message(message)
            talk = self._chat_of(self._key(request), "\n".join(self.first[0]), "")
            talk.say(said)
        for _ in talk.follow():
            growing = talk.growing
            if growing:
                yield growing.text
        if talk.fault:
            raise gr.Error(talk.fault)
        yield talk.lines[-1].text


@dataclass(frozen=True)
class _Tab:
    """:param personas: the two fields. :param views: what `Page._view` fills."""

    personas: tuple[gr.Textbox, gr.Textbox]
    views: list[gr.HTML]


class _told:
    """What is refused is told to the visitor as a notice."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, Refused):
            raise gr.Error(str(error), title="Not now", print_exception=False) from error


def _whom(name: str, who: int) -> str:
    return (("you", "the bot") if name == CHAT else ("A", "B"))[who]
