"""What the server of the rating page answers, and what it refuses."""

import http.client
import json
import threading
from contextlib import closing

import pytest
import studies

from p2bot_parlai.errors import P2botError
from p2bot_parlai.tools.human_eval.ratings import RatingLog, read_ratings
from p2bot_parlai.tools.human_eval.server import PAGES, RatingServer

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def study():
    return studies.study()[0]


@pytest.fixture
def server(study, tmp_path):
    with RatingLog(str(tmp_path / "ratings.jsonl"), study) as log, RatingServer(study, log) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server, method, path, body=None, headers=None):
    """(status, headers, body)."""
    with closing(http.client.HTTPConnection(*server.server_address, timeout=20)) as connection:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def rate(server, headers=None, **changes):
    given = {"study": server.study.id, "rater": "anna", "response": "c1r1", "rating": 3, **changes}
    status, _, body = ask(server, "POST", "/rate", json.dumps(given), {**JSON, **(headers or {})})
    return status, json.loads(body)


def test_a_rating_is_kept(server):
    assert rate(server) == (200, {"saved": "c1r1"})
    assert rate(server, rating=4)[0] == 200
    kept = read_ratings(server.log.path, server.study)
    assert [r.grade for r in kept] == [3, 4]
    _, _, body = ask(server, "GET", "/study?rater=anna")
    found = json.loads(body)
    assert found["ratings"] == {"c1r1": 4} and found["rater"] == "anna"
    assert json.loads(ask(server, "GET", "/study?rater=bob")[2])["ratings"] == {}


def test_the_study_is_shown_without_its_systems(server):
    _, _, body = ask(server, "GET", "/study?rater=anna")
    found = json.loads(body)
    assert len(found["items"]) == 6 and [g["value"] for g in found["scale"]] == [1, 2, 3, 4]
    assert set(found["items"][0]) == {"id", "persona", "context", "response"}
    for secret in (b'"human', b'"good', b'"copy', b".model"):
        assert secret not in body


def test_pages_may_load_nothing_from_elsewhere(server):
    for path in PAGES:
        status, headers, body = ask(server, "GET", path)
        assert status == 200 and b"//" not in body.replace(b"// ", b"")
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
    assert ask(server, "GET", "/study.key.json")[0] == 404
    assert ask(server, "GET", "/../server.py")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "[", "Origin": "http://["},
    ],
)
def test_other_sites_are_refused(server, headers):
    assert rate(server, headers)[0] == 403
    assert ask(server, "GET", "/study?rater=anna", headers=headers)[0] == 403
    assert len(server.log) == 0


def test_its_own_page_is_not(server):
    host, port = server.server_address
    assert rate(server, {"Origin": f"http://{host}:{port}"})[0] == 200
    own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert rate(server, own)[0] == 200


def test_a_form_of_another_site_is_refused(server):
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert rate(server, {"Content-Type": kind})[0] == 415
    assert len(server.log) == 0


@pytest.mark.parametrize(
    "changes, status, message",
    [
        ({"rating": 5}, 400, "5 is not a grade"),
        ({"rater": " "}, 400, "name is missing"),
        ({"response": "c9r9"}, 400, "no response"),
        ({"study": "other"}, 409, "reload the page"),
        ({"rater": "x" * 9999}, 413, "no rating"),
    ],
)
def test_bad_ratings(server, changes, status, message):
    found, answer = rate(server, **changes)
    assert found == status and message in answer["error"]


def test_what_is_no_rating(server):
    for body in ("", "[]", '{"rater": 1}', "{"):
        assert ask(server, "POST", "/rate", body, JSON)[0] == 400
    assert ask(server, "POST", "/", "{}", JSON)[0] == 404
    assert ask(server, "POST", "/rate", "{}", {**JSON, "Content-Length": "x"})[0] == 411
    assert ask(server, "GET", "/study")[0] == 400


def test_many_raters_at_once(server):
    def one(name):
        for response in ("c1r1", "c1r2", "c2r1"):
            assert rate(server, rater=name, response=response)[0] == 200

    threads = [threading.Thread(target=one, args=(f"rater {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.log) == len(read_ratings(server.log.path, server.study)) == 18


def test_a_port_that_is_taken(server, study):
    with pytest.raises(P2botError, match=f"--port {server.server_address[1]}: Address already"):
        RatingServer(study, server.log, port=server.server_address[1])
    with pytest.raises(P2botError, match="--port 99999"):
        RatingServer(study, server.log, port=99999)
