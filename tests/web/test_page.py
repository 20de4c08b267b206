"""The page over HTTP, without a browser: what is let through, who is who, how fast."""

import io
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from gradio_client import Client
from PIL import Image
from serving import serving, until

from p2bot_parlai import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.scripts.p2bot_web import P2botWeb
from p2bot_parlai.tools.web.server import bind

QUEUE = "/gradio_api/queue/join"


@pytest.fixture(scope="module")
def page(tiny_model, tiny_receiver):
    bot = P2Bot.load(tiny_model, receiver=tiny_receiver, inference="multinomial")
    with serving(bot, burst=12, rate=1, patience=0.5, visitors=8, idle=0, penance=0.5) as (
        address,
        site,
    ):
        yield address, site


@pytest.fixture
def address(page):
    return page[0]


@pytest.fixture
def http():
    with requests.Session() as session:
        session.trust_env = False  # this machine is reached without any proxy
        yield session


def client(address) -> Client:
    return Client(address, verbose=False, httpx_kwargs={"trust_env": False})


# -------------------------------------------------------------------------------- the page
def test_the_page_names_nothing_elsewhere(address, http):
    page = http.get(address)
    config = re.search(r"window\.gradio_config = (.*?);</script>", page.text).group(1)
    assert json.loads(config)["analytics_enabled"] is False
    tags = re.findall(r"<(?:link|script|img|meta|iframe)\b[^>]*>", page.text)
    assert not [tag for tag in tags if "//" in tag.replace(address, "")]
    assert "googleapis" not in http.get(f"{address}/theme.css").text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert "set-cookie" not in http.get(address).headers, "it is known now"


def test_what_the_page_does_not_need_is_not_there(address, http):
    for path in ("upload", "proxy=http://example.org", "file=/etc/passwd", "vibe-edit", "stream/x"):
        for method in ("GET", "POST"):
            found = http.request(method, f"{address}/gradio_api/{path}")
            assert found.status_code == 404, (method, path)
    assert http.put(address).status_code == 405
    assert http.get(f"{address}/docs").status_code == 404


def test_other_sites_cannot_post(address, http):
    body = {"data": [""], "fn_index": 0, "session_hash": "x"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": address.replace("127.0.0.1", "localhost")},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        refused = http.post(address + QUEUE, json=body, headers=headers)
        assert refused.status_code == 403, headers
        assert "access-control-allow-origin" not in refused.headers
    own = http.post(address + QUEUE, json=body, headers={"Origin": address})
    assert own.status_code == 200


def test_another_host_name_is_refused(address, http):
    for name in ("evil.example", "evil.example:80", "", "[::"):
        assert http.get(address, headers={"Host": name}).status_code in (400, 421), name


@pytest.mark.parametrize(
    "body, status",
    [
        (b"x" * 70_000, 413),
        (b"", 400),
        (b"{", 400),
        (b"[" * 60_000, 400),
        (b"\xff", 400),
        (b"7", 422),
        (b'{"data": [], "fn_index": 9999, "session_hash": "x"}', 422),
        (b'{"data": [], "fn_index": true, "session_hash": "x"}', 422),
        (b'{"data": [1, 2, 3, 4, 5, 6, 7], "fn_index": 0, "session_hash": "x"}', 422),
        (b'{"data": {}, "fn_index": 0, "session_hash": "x"}', 422),
        (b'{"data": [], "fn_index": 0, "session_hash": "/../"}', 422),
    ],
)
def test_bodies_are_bounded(address, http, body, status):
    assert http.post(address + QUEUE, data=body).status_code == status
    chunks = http.post(address + QUEUE, data=iter([body]))
    assert chunks.status_code == status, "without a length that is announced"


def test_downloads_need_a_conversation_of_ones_own(address, http):
    http.get(address)
    for name in ("chat.json", "duet.json", "chat-first.png", "duet-second.png"):
        assert http.get(f"{address}/{name}").status_code == 404


# --------------------------------------------------------------------------- conversations
def test_programs_talk_apart(page):
    address, site = page
    clients = [client(address) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(c.predict, f"hello from {n}", api_name="/reply")
                for n, c in enumerate(clients)]  # fmt: skip
        answers = [job.result(180) for job in jobs]
    for n, (who, answer) in enumerate(zip(clients, answers, strict=True)):
        talk = site.visitors.find(f"session {who.session_hash}").talks["chat"]
        assert [line.text for line in talk.lines] == [f"hello from {n}", answer]


def test_a_refusal_is_told(address):
    with pytest.raises(Exception, match="at most 500 characters"):
        client(address).predict("x" * 501, api_name="/reply")


def test_who_floods_is_held_back_and_then_refused(page, http):
    address, _ = page
    body = {"data": [""], "fn_index": 0, "session_hash": "flood"}
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: http.post(address + QUEUE, json=body), range(60)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) > 20
    for answer in refused:
        assert answer.elapsed.total_seconds() >= 0.5  # so that it cannot ask again at once
        assert int(answer.headers["retry-after"]) >= 0
    other = {**body, "session_hash": "calm"}
    assert http.post(address + QUEUE, json=other).status_code != 429


def test_what_a_visitor_takes_away(page, http):
    """The browser's cookie decides; other visitors do not get it."""
    address, site = page
    http.get(address)
    place = next(
        d["id"]
        for d in http.get(f"{address}/config").json()["dependencies"]
        if d["api_name"] == "_say"
    )
    body = {"data": ["i have two dogs", "i like tea.", ""], "fn_index": place, "session_hash": "b"}
    assert http.post(address + QUEUE, json=body).status_code == 200
    (token,) = [c.value for c in http.cookies]
    until(lambda: site.visitors.find(f"browser {token}"))
    talk = site.visitors.find(f"browser {token}").talks["chat"]
    until(lambda: not talk.busy)
    saved = http.get(f"{address}/chat.json")
    assert saved.json() == talk.to_json() and saved.json()["persona"] == ["i like tea."]
    assert "attachment" in saved.headers["content-disposition"]
    for who in ("first", "second"):
        picture = Image.open(io.BytesIO(http.get(f"{address}/chat-{who}.png").content))
        assert picture.format == "PNG" and min(picture.size) > 50
    assert http.get(f"{address}/chat.json", cookies={site.cookie: "x" * 22}).status_code == 404


# ------------------------------------------------------------------------------ the command
def test_a_port_that_is_taken():
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(P2botError, match=f"--port {port}: Address already in use"):
            bind("127.0.0.1", port)
    with pytest.raises(P2botError, match="--host no.such.host.invalid"):
        bind("no.such.host.invalid", 7860)


@pytest.mark.parametrize(
    "options, why",
    [
        ({"model_file": None}, "-mf MODEL"),
        ({"port": -1}, "--port -1"),
        ({"max_visitors": 0}, "--max-visitors 0"),
        ({"max_turns": 0}, "--max-turns 0"),
        ({"task": "convai2:none", "port": 0}, "has no personas"),
        ({"receiver": "/nowhere/model", "port": 0}, "there is no Receiver at /nowhere/model"),
    ],
)
def test_what_the_command_refuses(tiny_model, convai2, options, why):
    given = {"model_file": tiny_model, "datapath": convai2, "loglevel": "error", **options}
    with pytest.raises(P2botError, match=re.escape(why)):
        P2botWeb.main(**{k: v for k, v in given.items() if v is not None})


def test_a_missing_gradio_is_named(tiny_model, convai2, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(P2botError, match=r"needs gradio: pip install .*\[web\]"):
        P2botWeb.main(model_file=tiny_model, datapath=convai2, loglevel="error")


@pytest.mark.slow
def test_the_command_serves_and_ends(tiny_model, convai2, tmp_path):
    """Personas of the task; Ctrl-C ends it without a traceback."""
    import signal

    command = [sys.executable, "-m", "p2bot_parlai", "p2bot_web", "-mf", tiny_model, "--port", "0"]
    command += ["-t", "convai2:self_original", "-dp", convai2, "--loglevel", "error"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "P²Bot is at" in line:
                break
        assert "without the persona reward: no Receiver" in "".join(lines)
        address = re.search(r"http://\S+", lines[-1]).group()
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(address).status_code == 200
        assert client(address).predict("hello", api_name="/reply")
        process.send_signal(signal.SIGINT)
        assert process.wait(180) == 0
        assert "Traceback" not in process.stderr.read()
