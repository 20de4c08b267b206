"""What visitors send to the page: messages, personas, requests."""

import asyncio
import re

import fuzzing
from fuzzing import cases, outcome, texts
from hypothesis import example, given
from hypothesis import strategies as st

from p2bot_parlai.tools.web import page
from p2bot_parlai.tools.web.guard import guarded
from p2bot_parlai.tools.web.limits import Limits

LIMITS = Limits()
ANYTHING = st.one_of(texts(), texts(), fuzzing.VALUES)


# -------------------------------------------------------------------------------- limits
@cases(80)
@given(ANYTHING)
@example("a\u2028b")
@example("\ud83d\ude00")
def test_what_passes_the_limits_is_plain(given_):
    said, _ = outcome(LIMITS.checked_message, given_)
    if said is not None:
        check_plain(said, LIMITS.message)
        assert LIMITS.checked_message(said) == said
    persona, _ = outcome(LIMITS.checked_persona, given_)
    if persona is not None:
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


# -------------------------------------------------------------------------- conversations
