"""What visitors send to the page: messages, personas, requests; and what is shown of them."""

import asyncio
import json
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("gradio")

import fuzzing
from fuzzing import cases, texts
from hypothesis import example, given
from hypothesis import strategies as st

from p2bot_parlai import P2Bot
from p2bot_parlai.chat.api import Impression
from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.web import page
from p2bot_parlai.tools.web.guard import guarded
from p2bot_parlai.tools.web.limits import Limits, Refused
from p2bot_parlai.tools.web.rewards import ReplyRewards
from p2bot_parlai.tools.web.talk import Line, Shown, Studio

LIMITS = Limits(exchanges=4)
ANYTHING = st.one_of(texts(), texts(), fuzzing.VALUES)


@pytest.fixture(scope="module")
def studio(tiny_model, tiny_receiver):
    bot = P2Bot.load(tiny_model, receiver=tiny_receiver, inference="greedy", label_truncate=6)
    return Studio(bot, ReplyRewards(bot), ["i like tea.", "i eat pizza."], LIMITS, seed=1)


# -------------------------------------------------------------------------------- limits
@cases(80)
@given(ANYTHING)
@example("a\u2028b")
@example("\ud83d\ude00")
def test_what_passes_the_limits_is_plain(given_):
    try:
        said = LIMITS.checked_message(given_)
    except Refused as refused:
        assert str(refused).isprintable()
    else:
        check_plain(said, LIMITS.message)
        assert LIMITS.checked_message(said) == said
    try:
        persona = LIMITS.checked_persona(given_)
    except Refused as refused:
        assert str(refused).isprintable()
    else:
        assert len(persona) == len(set(persona)) <= LIMITS.sentences
        for sentence in persona:
            check_plain(sentence, LIMITS.sentence)
        assert LIMITS.checked_persona("\n".join(persona)) == persona


def check_plain(text, longest):
    assert 0 < len(text) <= longest and text == text.strip() and "\n" not in text
    text.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text)


# --------------------------------------------------------------------------------- guard
HEADER = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=12)
PATHS = st.one_of(
    st.sampled_from(
        ("/", "/config", "/assets/x.js", "/gradio_api/queue/join", "/gradio_api/cancel")
    ),
    st.sampled_from(("/gradio_api/upload", "/../etc/passwd", "/assets/../../x", "//")),
    texts(breaks=False).map("/".__add__),
)
NAMES = st.one_of(st.sampled_from(("localhost:80", "127.0.0.1", "[::1]:1", "[", "evil")), HEADER)
HEADERS = st.fixed_dictionaries(
    {"host": st.one_of(st.just("localhost"), NAMES)},
    optional={
        "origin": st.one_of(NAMES.map("http://".__add__), HEADER),
        "content-length": st.sampled_from(("3", "-1", "x", "²", "9" * 5000, "99999999", "")),
    },
)
METHODS = st.sampled_from(("GET", "POST", "POST", "POST", "HEAD", "PUT", "\x00"))


async def inner(scope, receive, send):
    """The page behind the guard reads the body and answers."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"\xff")]})
    await send({"type": "http.response.body", "body": b"page"})


@cases(120)
@given(METHODS, PATHS, HEADERS, st.lists(st.binary(max_size=20), min_size=1, max_size=2))
@example("GET", "/", {"host": "localhost", "origin": "http://["}, [b""])
@example("POST", "/gradio_api/cancel", {"host": "localhost", "content-length": "9" * 5000}, [b""])
def test_the_guard_answers_every_request(method, path, headers, bodies):
    app = guarded(inner, "127.0.0.1", page.POLICY, 30, page.ALLOWED)
    raw = [(k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    sent = []
    coming = [{"type": "http.request", "body": part, "more_body": True} for part in bodies]
    coming[-1]["more_body"] = False

    async def receive():
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start = sent[0]
    names = [name.lower() for name, _ in start["headers"]]
    assert names.count(b"content-security-policy") == 1
    if start["status"] == 200:
        assert method != "PUT" and (method != "POST" or path.startswith("/gradio_api/"))
        assert sum(map(len, bodies)) <= 30
    else:
        assert 400 <= start["status"] < 500


# ------------------------------------------------------------------- what the page shows
class Tags(HTMLParser):
    """Which elements a text has."""

    def __init__(self, page: str):
        super().__init__()
        self.tags = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)


SAID = texts(max_parts=4)
NUMBER = st.floats()
SHOWN = st.tuples(st.lists(SAID, max_size=2), st.lists(SAID, min_size=1, max_size=2), NUMBER).map(
    lambda t: Shown(t[0], t[1], [[t[2], 0.5][: len(t[1])] for _ in t[0]],
                    [Impression(s, t[2], s) for s in t[1]])
)  # fmt: skip
REWARDS = st.dictionaries(st.sampled_from(("style", "coherence", "persona")), NUMBER)


@cases(40)
@given(SAID, REWARDS, SHOWN)
@example("\ud83d\ude00", {}, Shown(["a"], ["b"], [[float("nan")]], []))
def test_nothing_that_was_said_is_mark_up(studio, said, rewards, shown):
    line = Line(1, said, rewards)
    assert Tags(page.as_html(line, studio.rewards)).tags <= {"br", "small", "b"}
    table = {"style", "table", "thead", "tbody", "tr", "th", "td"}
    for view in (page.relevance_map(shown), page.impression(shown)):
        assert Tags(view).tags <= table


# -------------------------------------------------------------------------- conversations
@cases(12, share=0.005)
@given(st.lists(ANYTHING, min_size=1, max_size=2), ANYTHING, ANYTHING)
@example(["hi", "\x00\ud800 you"], "i like tea.", "[EOS]")
def test_a_conversation_goes_on_or_says_why_not(studio, messages, own, persona):
    """With a real bot: a reply, or one of our errors."""
    try:
        talk = studio.talk(LIMITS.checked_persona(own), LIMITS.checked_persona(persona))
        for message in messages:
            list(talk.say(LIMITS.checked_message(message)))
            assert talk.lines[-1].rewards
            json.dumps(talk.to_json(), ensure_ascii=False).encode()
    except P2botError as error:
        assert str(error).isprintable()
