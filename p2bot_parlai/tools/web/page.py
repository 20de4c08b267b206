"""The gradio page: a chat with the bot, and two bots that talk with each other."""

import base64
import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.reward_models import REWARDS
from p2bot_parlai.tools.web.guard import guarded
from p2bot_parlai.tools.web.limits import Refused
from p2bot_parlai.tools.web.rewards import ReplyRewards
from p2bot_parlai.tools.web.talk import FIRST, SECOND, Line, Shown, Studio, Talk

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
import gradio as gr  # noqa: E402
import pandas as pd  # noqa: E402
from pandas.io.formats.style import Styler  # noqa: E402

STYLE_SHEET = Path(__file__).with_name("style.css")
OFFERED = 40  # personas in a list to pick from
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# what the page and gradio_client use; the rest of gradio's API, its uploads and files, is closed
READ = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(assets|static|svelte)/.*"
    r"|gradio_api/(info|startup-events|app_id|queue/data|heartbeat/[\w-]+|call/reply/\w+))/?"
)
WRITE = re.compile(r"/gradio_api/(queue/join|reset|cancel|call/reply)/?")
ALLOWED = {"GET": READ, "HEAD": READ, "POST": WRITE}
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass
class Cast:
    """
    :param personas: to pick or draw from. :param bot: the bot's persona at first.
    :param visitor: the visitor's.
    """

    personas: list[list[str]]
    bot: list[str]
    visitor: list[str] = field(default_factory=list)


def make_app(studio: Studio, cast: Cast, host: str, port: int, model: str) -> ASGIApp:
    """The guarded page. :param model: its name on the page."""
    theme = gr.themes.Soft(
        primary_hue="blue",
        neutral_hue="slate",
        font=("ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    looks = {"theme": theme, "css_paths": STYLE_SHEET, "footer_links": []}
    blocks = build(studio, cast, model)
    app = gr.mount_gradio_app(
        inner, blocks, "/", host, port, ssr_mode=False, pwa=False, show_error=True, **looks
    )
    return guarded(app, host, POLICY, studio.limits.body, ALLOWED)


def build(studio: Studio, cast: Cast, model: str) -> gr.Blocks:
    """Both tabs."""
    a, b = (*cast.personas, [], [])[:2]
    with gr.Blocks(title="P²Bot", analytics_enabled=False, fill_width=True) as blocks:
        gr.Markdown(f"# P²Bot\nTalk, and see what each perceives of the other. Model: `{model}`")
        with gr.Tab("Talk with it"):
            _Tab(studio, cast, "chat", ("You", "P²Bot")).build((cast.visitor, cast.bot))
        with gr.Tab("Two bots talk"):
            _Tab(studio, cast, "duet", ("A", "B")).build((a, b))
        with gr.Accordion("What the numbers mean", open=bool(studio.rewards.absent)):
            gr.Markdown(about_rewards(studio.rewards))
    blocks.state_session_capacity = studio.limits.visitors
    return blocks.queue(max_size=10 * studio.limits.visitors)


def about_rewards(rewards: ReplyRewards) -> str:
    """Which rewards are shown, with their weights, and which are missing and why."""
    lines = []
    for name, weight in rewards.lambdas.items():
        what = f"{REWARDS[name].about}; λ = {weight:g}"
        if name in rewards.absent:
            what = f"not shown: {rewards.absent[name]}"
        lines.append(f"- **{name}**: {what}")
    whole = "needs all of them and is not shown" if rewards.absent else "is their weighted sum"
    lines.append(f"- **R** (Eq. 10) {whole}; the discount of Eq. 8 is γ = {rewards.gamma:g}")
    lines += ["", *rewards.remarks]
    lines += ["", "Relevance maps are Figure 6 of the paper (Eq. 11). An impression lists the"]
    lines += ["profile sentences that fit best what was said (Eq. 13)."]
    return "\n".join(lines)


class _Tab:
    """
    :param kind: "chat", or "duet" of two bots. :param names: of the speakers, `FIRST` and `SECOND`.
    """

    def __init__(self, studio: Studio, cast: Cast, kind: str, names: tuple[str, str]):
        self.studio, self.cast, self.kind, self.names = studio, cast, kind, names

    # ------------------------------------------------------------------------------- layout
    def build(self, personas: tuple[Sequence[str], Sequence[str]]) -> None:
        talk, chat = gr.State(), self.kind == "chat"
        replies = {"concurrency_limit": self.studio.limits.replies_at_once}
        replies |= {"concurrency_id": "replies"}
        with gr.Row():
            fields = [self._persona(*pair) for pair in zip(self.names, personas, strict=True)]
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                log = gr.Chatbot(
                    label=f"{self.names[SECOND]} (left), {self.names[FIRST]} (right)",
                    height="28rem",
                    render_markdown=False,  # the content is HTML
                    feedback_options=None,
                    buttons=[],
                    elem_id=f"{self.kind}-log",
                )
                with gr.Row(elem_classes="p2-low"):
                    if chat:
                        message = gr.Textbox(
                            placeholder="Write a message",
                            show_label=False,
                            container=False,
                            max_length=self.studio.limits.message,
                            scale=6,
                            min_width=180,
                            elem_id="chat-message",
                        )
                        go = gr.Button("Send", variant="primary", scale=1, min_width=80)
                    else:
                        rounds = gr.Slider(1, 10, 4, step=1, label="Lines each", min_width=180)
                        go = gr.Button("Let them talk", variant="primary", min_width=120)
                with gr.Row():
                    other = gr.Button("Let the bot speak" if chat else "Stop", size="sm")
                    new = gr.Button("New chat with these personas", size="sm")
                views = [log, gr.HTML()]
            with gr.Column(scale=6, min_width=320):
                for name in self.names:
                    for title in (f"Relevance map: {name}", f"Impression of {name}"):
                        views.append(gr.HTML(label=title, show_label=True, container=True))
        outputs = [talk, *views]
        if chat:
            given = [message, talk, *fields]
            events = [message.submit, go.click]
            said = gr.on(events, self._say, given, [message, *outputs], api_name="reply", **replies)
            opens = other.click(
                self._open, [talk, *fields], outputs, api_visibility="private", **replies
            )
            running = [said, opens]
        else:
            given = [rounds, talk, *fields]
            going = go.click(self._go_on, given, outputs, api_visibility="private", **replies)
            other.click(None, cancels=[going], **QUIET)
            running = [going]
        anew = [new.click, log.clear]
        gr.on(anew, lambda: [None, *self._view(None)], None, outputs, cancels=running, **QUIET)

    def _persona(self, name: str, sentences: Sequence[str]) -> gr.Textbox:
        """A field for a persona, one sentence a line, to write, to pick or to draw."""
        limits, personas = self.studio.limits, self.cast.personas
        with gr.Column(min_width=280):
            field = gr.Textbox(
                "\n".join(sentences),
                label=f"{name}: persona, one sentence a line",
                placeholder="no persona",
                lines=4,
                max_lines=6,
                max_length=limits.sentences * (limits.sentence + 1),
                elem_id=f"{self.kind}-{name}",
            )
            with gr.Row(elem_classes="p2-low"):
                choices = [(" ".join(p)[:70], "\n".join(p)) for p in personas[:OFFERED]]
                pick = gr.Dropdown(
                    choices, value=None, label="or pick someone", scale=3, min_width=130
                )
                draw = gr.Button("Draw one", scale=1, min_width=90, size="sm")
        pick.input(lambda chosen: chosen or "", pick, field, **QUIET)
        draw.click(lambda: "\n".join(random.choice(personas)), None, field, **QUIET)
        return field

    # ------------------------------------------------------------------------------ content
    def _view(self, talk: Talk | None) -> list:
        """The values of all views."""
        view = [self._messages(talk), save_link(talk)]
        for who, name in enumerate(self.names):
            shown = talk.shown[who] if talk else Shown()
            empty = self.studio.rewards.no_receiver or f"{name} has said nothing yet."
            view += [relevance_map(shown) or empty, impression(shown) or empty]
        return view

    def _messages(self, talk: Talk | None) -> list[dict]:
        """The first speaker's messages on the right, the second's, with rewards, on the left."""
        roles = ("user", "assistant")
        return [
            {"role": roles[line.speaker], "content": as_html(line, self.studio.rewards)}
            for line in (talk.lines if talk else ())
        ]

    # --------------------------------------------------------------------------- what it does
    def _talk(self, talk: Talk | None, first: object, second: object) -> Talk:
        """The conversation, or a new one with these personas."""
        if talk is not None:
            return talk
        personas = [self.studio.limits.checked_persona(text) for text in (first, second)]
        return self.studio.talk(*personas, duet=self.kind == "duet")

    def _follow(self, talk: Talk, steps: Iterator[None]) -> Iterator[list]:
        """The messages as they grow; at the end everything."""
        try:
            for _ in steps:
                yield [talk, self._messages(talk), *[gr.skip()] * 5]
        except P2botError:
            yield [talk, *self._view(talk)]
            raise
        yield [talk, *self._view(talk)]

    def _say(self, message: str, talk: Talk | None, you: str = "", bot: str = ""):
        with _told():
            said = self.studio.limits.checked_message(message)
            talk = self._talk(talk, you, bot)
            try:
                empty = ""
                for view in self._follow(talk, talk.say(said)):
                    yield [empty, *view]
                    empty = gr.skip()  # the next message may be being written
            except P2botError:
                yield [message, *[gr.skip()] * 7]
                raise

    def _open(self, talk: Talk | None, you: str, bot: str):
        with _told():
            talk = self._talk(talk, you, bot)
            yield from self._follow(talk, talk.say(""))

    def _go_on(self, rounds: object, talk: Talk | None, a: str, b: str):
        with _told():
            if not isinstance(rounds, int | float) or not 1 <= rounds <= 10:
                raise Refused("They say 1 to 10 lines each.")
            talk = self._talk(talk, a, b)
            yield from self._follow(talk, talk.go_on(int(rounds)))


class _told:
    """Turns our errors into notices on the page."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, P2botError):
            raise gr.Error(str(error), title="Not now", print_exception=False) from error


def as_html(line: Line, rewards: ReplyRewards) -> str:
    """What was said, and its rewards below."""
    said = escape(line.text) or "…"
    total = rewards.total(line.rewards)
    values = line.rewards if total is None else {**line.rewards, "R": total}
    below = "&ensp;".join(f"{name} <b>{value:.2f}</b>" for name, value in values.items())
    return f"{said}<br><small>{below}</small>" if below else said


def relevance_map(shown: Shown) -> str:
    """Figure 6: utterances down, profile sentences across; higher is darker."""
    if not shown.relevance:
        return ""
    style = as_table(pd.DataFrame(shown.relevance))
    style.background_gradient("Blues", axis=None, text_color_threshold=0.3)
    # the labels are numbers, because pandas wants them to be unique
    for axis, texts in enumerate((shown.utterances, shown.sentences)):
        style.format_index([escape(text) for text in texts].__getitem__, axis=axis)
    return style.to_html()


def impression(shown: Shown) -> str:
    """The profile sentences that fit best, each with the utterance that reveals it."""
    if not shown.impression:
        return ""
    titles = ["profile sentence", "score", "because of"]
    style = as_table(pd.DataFrame(shown.impression)).hide(axis=0)
    return style.relabel_index(titles, axis=1).to_html()


def as_table(frame: pd.DataFrame) -> Styler:
    """As HTML in which text stays text."""
    return frame.style.format(precision=2, escape="html").set_table_attributes('class="p2"')


def save_link(talk: Talk | None) -> str:
    """A link that saves the conversation as JSON; the page's policy allows no other files."""
    if talk is None or not talk.lines:
        return ""
    content = json.dumps(talk.to_json(), ensure_ascii=False, indent=1).encode()
    data = base64.b64encode(content).decode()
    return f'<a download="p2bot.json" href="data:application/json;base64,{data}">Save as JSON</a>'
