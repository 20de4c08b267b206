"""What the rating page's server answers, and what it refuses."""

import pytest
import studies
from starlette.testclient import TestClient

from p2bot_parlai.tools.human_eval.ratings import RatingLog, read_ratings
from p2bot_parlai.tools.human_eval.server import rating_app

STUDY = studies.study()[0]


@pytest.fixture
def log(tmp_path):
    with RatingLog(str(tmp_path / "ratings.jsonl"), STUDY) as log:
        yield log


@pytest.fixture
def client(log):
    return TestClient(rating_app(STUDY, log, "127.0.0.1"), "http://127.0.0.1:8765")


def rate(client, headers=None, **changes):
    given = {"study": STUDY.id, "rater": "anna", "response": "c1r1", "rating": 3, **changes}
    return client.post("/rate", json=given, headers=headers)


def test_a_rating_is_kept_and_systems_stay_hidden(client, log):
    assert rate(client).json() == {"saved": "c1r1"}
    assert rate(client, {"origin": "http://127.0.0.1:8765"}, rating=4).status_code == 200
    assert [r.grade for r in read_ratings(log.path, STUDY)] == [3, 4]
    found = client.get("/study?rater=anna").json()
    assert found["ratings"] == {"c1r1": 4} and found["rater"] == "anna"
    shown = client.get("/study?rater=bob")
    assert shown.json()["ratings"] == {}
    assert set(shown.json()["items"][0]) == {"id", "persona", "context", "response"}
    for secret in ('"human', '"good', '"copy', ".model"):
        assert secret not in shown.text


def test_pages_load_nothing_from_elsewhere(client):
    for path in ("/", "/rate.js", "/rate.css"):
        answer = client.get(path)
        assert answer.status_code == 200 and "//" not in answer.text.replace("// ", "")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
    assert client.get("/study.key.json").status_code == 404
    assert client.get("/%2e%2e/server.py").status_code == 404


@pytest.mark.parametrize(
    "headers, status",
    [({"origin": "http://evil.example"}, 403), ({"host": "evil.example"}, 400)],
)
def test_other_sites_are_refused(client, log, headers, status):
    assert rate(client, headers).status_code == status
    assert client.get("/study?rater=anna", headers=headers).status_code == status
    assert len(log) == 0


@pytest.mark.parametrize(
    "changes, status, message",
    [
        ({"rating": 5}, 400, "5 is not a grade"),
        ({"study": "other"}, 409, "reload the page"),
        ({"rater": "x" * 9999}, 413, ""),
    ],
)
def test_bad_ratings(client, log, changes, status, message):
    answer = rate(client, **changes)
    assert answer.status_code == status and message in answer.text and len(log) == 0
