"""What reaches a page: host names, origins, sizes; and the headers of every answer."""

import re

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.web.guard import guarded
from p2bot_parlai.tools.web.page import ALLOWED
from p2bot_parlai.tools.web.server import address, bind

BASE = "http://127.0.0.1:7860"


async def echo(request):
    return PlainTextResponse((await request.body()).decode("latin-1"))


INNER = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "PUT"])])


@pytest.fixture(scope="module")
def client():
    return TestClient(guarded(INNER, "127.0.0.1", "default-src 'self'", 10), BASE)


def test_what_passes_gets_the_headers(client):
    for answer in (client.get("/"), client.get("/", headers={"host": "evil.example"})):
        assert answer.headers["content-security-policy"] == "default-src 'self'"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.post("/", content=b"0123456789").text == "0123456789"
    for host in ("127.0.0.1:7860", "localhost", "[::1]:80"):
        own = {"host": host, "origin": f"http://{host}"}
        assert client.get("/", headers=own).status_code == 200


def test_other_hosts_and_sites_are_refused(client):
    everyone = TestClient(guarded(INNER, "0.0.0.0", "", 10), BASE)
    for host in ("evil.example", "[::", "127.0.0.1.evil"):
        assert client.get("/", headers={"host": host}).status_code == 400
    assert everyone.get("/", headers={"host": "my.example"}).status_code == 200
    for origin in ("http://evil.example", "null", "http://localhost:7860", ""):
        for method in ("GET", "POST"):
            assert client.request(method, "/", headers={"origin": origin}).status_code == 403


def test_requests_are_bounded(client):
    assert client.post("/", content=b"x" * 11).status_code == 413
    chunks = iter([b"x" * 6, b"x" * 6])  # no announced length
    assert client.post("/", content=chunks).status_code == 413


def test_only_the_paths_of_the_page_are_open():
    client = TestClient(guarded(INNER, "127.0.0.1", "", 10, ALLOWED), BASE)
    assert client.get("/config").status_code == 200
    assert client.post("/gradio_api/queue/join").status_code == 200
    assert client.put("/").status_code == 405
    for path in ("upload", "proxy=http://example.org", "file=/etc/passwd", "stream/x"):
        for method in ("GET", "POST"):
            assert client.request(method, f"/gradio_api/{path}").status_code == 404


def test_a_port_that_is_taken():
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address(taken) == f"http://127.0.0.1:{port}"
        with pytest.raises(P2botError, match=f"--port {port}: .*already in use"):
            bind("127.0.0.1", port)
    with pytest.raises(P2botError, match=re.escape("--host no.such.host.invalid")):
        bind("no.such.host.invalid", 7860)
    with pytest.raises(P2botError, match="--port 99999"):
        bind("127.0.0.1", 99999)
