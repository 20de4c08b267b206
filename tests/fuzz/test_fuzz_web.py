"""What visitors send to the page: limits, the guard, conversations, what is shown of them."""

import json
import re
from concurrent.futures import Executor, Future
from html.parser import HTMLParser
from types import SimpleNamespace

import fuzzing
import gradio as gr
import pytest
from fuzzing import cases, texts
from hypothesis import example, given
from hypothesis import strategies as st

from p2bot_parlai import P2Bot
from p2bot_parlai.chat.api import Impression
from p2bot_parlai.tools.web import render
from p2bot_parlai.tools.web.guard import Guard, visitor_key
from p2bot_parlai.tools.web.judge import Judge
from p2bot_parlai.tools.web.limits import Limits, Refused
from p2bot_parlai.tools.web.page import Page
from p2bot_parlai.tools.web.server import draw
from p2bot_parlai.tools.web.talk import Line, Shown, Studio, Talk
from p2bot_parlai.tools.web.visitors import CHAT, DUET, Visitors

PERSONAS = [["i like tea.", "i have two dogs."], ["i work as a nurse."], ["i eat pizza."]]
LIMITS = Limits(rate=1e6, burst=10**6, exchanges=4)
ANYTHING = st.one_of(texts(), texts(), fuzzing.VALUES)


class Here(Executor):
    """Replies are thought of at once."""

    def submit(self, work, *args, **more):
        done = Future()
        done.set_result(work(*args, **more))
        return done


@pytest.fixture(scope="module")
def studio(tiny_model, tiny_receiver):
    bot = P2Bot.load(tiny_model, receiver=tiny_receiver, inference="greedy", label_truncate=6)
    bank = [sentence for persona in PERSONAS for sentence in persona]
    return Studio(bot, Judge(bot), bank, LIMITS, Here(), seed=1)


@pytest.fixture(scope="module")
def page(studio):
    given_ = (studio, Visitors(LIMITS), PERSONAS, (PERSONAS[0], []), lambda: PERSONAS[1])
    return Page(*given_, "cookie", "tiny/model")


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
EVENTS = {0: 3, 1: 2, 7: 0}
WISH = {"data": [1, 2, 3], "session_hash": "abc", "fn_index": 0, "event_data": None}
HEADER = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=12)
PATHS = st.one_of(
    st.sampled_from(("/", "/config", "/chat.json", "/duet-second.png", "/assets/x.js")),
    st.sampled_from(("/gradio_api/queue/join", "/gradio_api/call/reply", "/gradio_api/cancel")),
    st.sampled_from(("/gradio_api/upload", "/../etc/passwd", "/assets/../../x", "//")),
    texts(breaks=False).map("/".__add__),
)
NAMES = st.one_of(st.sampled_from(("localhost:80", "127.0.0.1", "[::1]:1", "[", "evil")), HEADER)
HEADERS = st.fixed_dictionaries(
    {"host": st.one_of(st.just("localhost"), NAMES)},
    optional={
        "origin": st.one_of(NAMES.map("http://".__add__), HEADER),
        "cookie": st.one_of(HEADER, HEADER.map("cookie=".__add__), st.just("cookie=" + "x" * 22)),
        "content-length": st.sampled_from(("3", "-1", "x", "²", "9" * 5000, "99999999", "")),
        "sec-fetch-site": st.sampled_from(("cross-site", "same-origin", "none", "")),
        "accept-encoding": HEADER,
    },
)
METHODS = st.sampled_from(("GET", "POST", "POST", "POST", "HEAD", "PUT", "\x00"))
BODIES = st.lists(
    st.one_of(fuzzing.json_files(WISH), st.binary(max_size=20)), min_size=1, max_size=2
)


async def inner(scope, receive, send):
    """What stands behind the guard: it reads the body, and answers with a page."""
    if scope["method"] == "POST":
        message = await receive()
        assert message["type"] == "http.request" and not message["more_body"]
    body = b'<meta property="og:image" content="https://elsewhere/x.png"><p>page</p>'
    headers = [(b"content-length", str(len(body)).encode()), (b"x", b"\xff")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@cases(120)
@given(METHODS, PATHS, HEADERS, BODIES, st.sampled_from(("http", "http", "http", "websocket")))
@example("GET", "/", {"host": "localhost", "origin": "http://["}, [b""], "http")
@example("POST", "/gradio_api/queue/join", {"host": "localhost", "origin": "http://["}, [b""],
         "http")  # fmt: skip
@example("POST", "/gradio_api/cancel", {"host": "localhost", "content-length": "9" * 5000}, [b""],
         "http")  # fmt: skip
def test_the_guard_answers_every_request(method, path, headers, bodies, kind):
    guard = Guard(inner, Visitors(LIMITS), LIMITS, "cookie", True, EVENTS)
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "headers": [(k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()],
    }
    sent = []
    coming = [{"type": "http.request", "body": part, "more_body": True} for part in bodies]
    coming[-1]["more_body"] = False

    async def receive():
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    finish(guard(scope, receive, send))
    if kind == "websocket":
        assert sent == [{"type": "websocket.close"}]
        return
    start, *rest = sent
    body = b"".join(part["body"] for part in rest)
    names = [name.lower() for name, _ in start["headers"]]
    assert names.count(b"content-security-policy") == 1 and b"elsewhere" not in body or path != "/"
    if start["status"] != 200:
        assert 400 <= start["status"] < 500
        assert json.loads(body)["detail"].isprintable()
    else:
        assert method != "PUT" and (method != "POST" or path.startswith("/gradio_api/"))


def finish(coroutine):
    """Run it; what it waits for is there already."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


@cases()
@given(st.one_of(st.none(), texts()), ANYTHING)
def test_a_visitor_has_one_key(cookie, session):
    key = visitor_key(cookie, session)
    assert re.fullmatch(r"(browser|session) [\w-]+|nobody", key, re.ASCII)


# ------------------------------------------------------------------- what stands in a page
class Tags(HTMLParser):
    """Which elements a text has."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


SAID = texts(max_parts=4)
NUMBER = st.floats()
SHOWN = st.tuples(st.lists(SAID, max_size=2), st.lists(SAID, min_size=1, max_size=2), NUMBER).map(
    lambda t: Shown(t[0], t[1], [[t[2], 0.5][: len(t[1])] for _ in t[0]],
                    [Impression(s, t[2], s) for s in t[1]])
)  # fmt: skip
REWARDS = st.dictionaries(st.sampled_from(("style", "coherence", "persona")), NUMBER)
LINES = st.lists(st.builds(Line, st.integers(0, 1), SAID, REWARDS), max_size=3)


@cases(40)
@given(fuzzing.personas(), LINES, SHOWN, st.one_of(st.none(), SAID), SAID)
@example([], [Line(0, "\ud83d\ude00", {})], Shown(["a"], ["b"], [[0.5]], []), None, "")
def test_nothing_that_was_said_is_mark_up(studio, persona, lines, shown, growing, fault):
    talk = Talk(studio, (persona, persona), (None, None))
    talk.lines, talk.shown, talk.fault = lines, (shown, Shown()), fault
    talk.growing = None if growing is None else Line(1, growing)
    talk.busy = growing is not None
    views = [
        render.chat(talk, ("A", "B"), "empty", studio.judge),
        render.status(talk),
        render.downloads(talk, CHAT, {"first": "a", "second": "b"}),
        render.persona(persona, "whose"),
        render.relevance_map(shown, "whose", "empty"),
        render.impression(shown, "empty"),
    ]
    allowed = {"div", "span", "b", "i", "em", "p", "a", "nav", "details", "summary", "ul", "li"}
    allowed |= {"table", "thead", "tbody", "tr", "td", "th", "ol", "small"}
    for view in views:
        found = Tags(view)
        assert set(found.tags) <= allowed and not found.open
    back = json.loads(json.dumps(talk.to_json()))
    # two halves side by side are one character once they were written
    whole = [joined_halves(line.text) for line in lines]
    assert [turn["text"] for turn in back["turns"]] == whole


def joined_halves(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@cases(5, share=0.001)
@given(SHOWN)
@example(Shown(["x" * 200_000], ["$x$ \\$"], [[0.5]]))
@example(Shown(["a"], ["b"], [[float("nan")]]))
def test_every_map_can_be_drawn(studio, shown):
    talk = Talk(studio, ([], []), (None, None))
    talk.shown = (shown, Shown())
    if shown.relevance:
        assert draw(talk, 0, "title").startswith(b"\x89PNG")


# ------------------------------------------------------------------------------ the page
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), ANYTHING),
        st.tuples(st.just("say"), texts(breaks=False, max_parts=3)),
        st.tuples(st.just("open"), st.none()),
        st.tuples(st.just("new"), st.none()),
        st.tuples(st.just("duet"), st.one_of(st.integers(-1, 3), fuzzing.VALUES)),
        st.tuples(st.just("reply"), ANYTHING),
        st.tuples(st.just("stop"), st.none()),
        st.tuples(st.just("resume"), st.none()),
    ),
    min_size=1,
    max_size=3,
)


@cases(12, share=0.005)
@given(STEPS, ANYTHING, ANYTHING)
@example([("say", "hi"), ("say", "\x00\ud800 you"), ("resume", None)], "i like tea.", "[EOS]")
@example([("duet", float("nan")), ("duet", True), ("stop", None)], None, 3)
def test_the_page_answers_or_says_why_not(page, steps, first, second):
    """With a real bot: a notice (gr.Error), or a view in which the conversation stands."""
    request = SimpleNamespace(cookies={}, session_hash="fuzz")
    page.visitors._visits.clear()
    for kind, given_ in steps:
        work = {
            "say": lambda g: page._say(g, first, second, request),
            "open": lambda _: page._open(first, second, request),
            "new": lambda _: [page._new_chat(first, second, request)],
            "duet": lambda g: page._go_on(first, second, g, request),
            "reply": lambda g: page.reply(g, request),
            "stop": lambda _: [page._stop(request)],
            "resume": lambda _: page._resume(request),
        }[kind]
        try:
            assert list(work(given_))
        except gr.Error as notice:
            assert str(notice)
        for visit in page.visitors.all():
            for name in visit.talks.keys() & {CHAT, DUET}:
                talk = visit.talks[name]
                assert not talk.busy and "something went wrong" not in talk.fault, talk.fault
                json.dumps(talk.to_json(), ensure_ascii=False).encode()
