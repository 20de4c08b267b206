"""The HTTP service against the Python API."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from p2bot_parlai import P2Bot
from p2bot_parlai.chat.conversation import Utterance
from p2bot_parlai.chat.replies import Decoding
from p2bot_parlai.tools.serve.app import make_app
from p2bot_parlai.tools.serve.completions import sentences

PERSONA = ["i like tea.", "i have two dogs."]
NAME = "models/tiny"
BASE = "http://127.0.0.1:8000"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def bot(tiny_model, tiny_receiver):
    return P2Bot.load(tiny_model, receiver=tiny_receiver, inference="multinomial")


@pytest.fixture(scope="module")
def client(bot):
    with TestClient(make_app(bot, NAME, "127.0.0.1", 4), BASE) as client:
        yield client


def begin(client, **given) -> str:
    """The path of a new conversation."""
    answer = client.post("/conversations", json={"persona": PERSONA, **given})
    assert answer.status_code == 201
    return f"/conversations/{answer.json()['id']}"


def reason(answer, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    return answer.json()["error"]["message"]


def events(answer) -> list:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.text.strip().split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    return [line.removeprefix("data: ") for line in lines]


# ----------------------------------------------------------------------------- conversations
def test_a_conversation_is_that_of_the_api(client, bot):
    path, talk = begin(client, seed=3), bot.conversation(PERSONA, seed=3)
    said = ["Hello!", "Do you have pets?"]
    assert client.post(f"{path}/say", json={"text": said[0]}).json() == {
        "reply": talk.reply(said[0])
    }
    streamed = client.post(f"{path}/say", json={"text": said[1], "stream": True})
    *pieces, last = map(json.loads, events(streamed))
    whole = talk.reply(said[1])
    assert "".join(piece["text"] for piece in pieces) == whole and last == {"reply": whole}
    found = client.get(path).json()
    assert found["turns"] == [turn._asdict() for turn in talk.turns]
    assert (found["persona"], found["partner_persona"]) == (PERSONA, [])
    candidates = ["i like tea .", "i have two dogs .", "goodbye"]
    ranked = client.post(f"{path}/rank", json={"candidates": candidates}).json()
    assert [one["text"] for one in ranked] == [text for text, _ in talk.rank(None, candidates)]
    assert client.delete(path).status_code == 204
    assert "no such conversation" in reason(client.get(path), 404)
    assert "no such conversation" in reason(client.delete(path), 404)


def test_perception_is_the_receivers(client, bot):
    given = {"utterance": "i walk my dogs", "persona": PERSONA}
    assert client.post("/perceive", json=given).json() == [
        one._asdict() for one in bot.perceive("i walk my dogs", PERSONA)
    ]


def test_requests_of_one_conversation_wait_for_each_other(client):
    path = begin(client, seed=1)
    with ThreadPoolExecutor(4) as pool:
        say = lambda n: client.post(f"{path}/say", json={"text": f"hello {n}"})  # noqa: E731
        replies = [answer.json()["reply"] for answer in pool.map(say, range(4))]
    turns = client.get(path).json()["turns"]
    order = [int(one["text"].split()[1]) for one in turns if one["speaker"] == "partner"]
    expected = []
    for n in order:
        expected.append({"speaker": "partner", "text": f"hello {n}"})
        expected += [{"speaker": "bot", "text": replies[n]}] if replies[n] else []
    assert sorted(order) == [0, 1, 2, 3] and turns == expected


def test_the_longest_unused_is_dropped(client):
    paths = [begin(client) for _ in range(4)]
    assert client.get(paths[0]).status_code == 200
    newest = begin(client)
    kept = [client.get(path).status_code for path in (*paths, newest)]
    assert kept == [200, 404, 200, 200, 200]


@pytest.mark.parametrize(
    "path, body, why",
    [
        ("/conversations", {"personality": ["i sing."]}, "personality: Extra inputs"),
        ("/conversations", {"persona": "i sing."}, "persona: Input should be a valid list"),
        ("/conversations", {"persona": ["i sing."] * 101}, "persona: List should have at most"),
        ("/conversations", {"temperature": 3}, "temperature: Input should be less"),
        ("/conversations", {"seed": -1}, "seed: Input should be greater"),
        ("/perceive", {"utterance": "\ud800", "persona": PERSONA}, "utterance: "),
    ],
)
def test_what_cannot_be_done_is_said(client, path, body, why):
    answer = client.post(path, content=json.dumps(body), headers=JSON)
    assert why in reason(answer, 400)


def test_bodies_are_bounded(client):
    assert client.post("/conversations", content=b" " * 300_000).status_code == 413
    path = begin(client)
    long = client.post(f"{path}/say", json={"text": "x" * 5000})
    assert "text: String should have at most" in reason(long, 400)
    damaged = client.post("/perceive", content=b"{", headers=JSON)
    assert "JSON decode error" in reason(damaged, 400)


def test_a_persona_that_is_too_long_is_refused_and_nothing_was_said(client):
    path = begin(
        client, persona=[f"i have {n} dogs and {n} cats and {n} birds." for n in range(40)]
    )
    for stream in (False, True):
        answer = client.post(f"{path}/say", json={"text": "hello", "stream": stream})
        said = events(answer)[0] if stream else reason(answer, 400)
        assert "this model can read" in said
    assert client.get(path).json()["turns"] == []


# ------------------------------------------------------------------------------ who may call
def test_a_key_is_needed_where_there_is_one(bot):
    client = TestClient(make_app(bot, NAME, "127.0.0.1", 4, "secret"), BASE)
    assert client.get("/health").json() == {"status": "ok", "model": NAME}
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}):
        assert "API key" in reason(client.get("/v1/models", headers=headers), 401)
    headers = {"authorization": "Bearer secret"}
    assert client.get("/v1/models", headers=headers).json()["data"][0]["id"] == NAME


def test_other_sites_call_only_where_they_are_allowed(bot, client):
    site = {"origin": "https://example.org"}
    assert client.get("/health", headers=site).status_code == 403
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400
    preflight = {**site, "access-control-request-method": "POST"}
    for origins in (["https://example.org"], ["*"]):
        app = TestClient(make_app(bot, NAME, "127.0.0.1", 4, origins=origins), BASE)
        answer = app.get("/health", headers=site)
        assert answer.headers["access-control-allow-origin"] == origins[0]
        assert app.options("/conversations", headers=preflight).status_code == 200
    app = TestClient(make_app(bot, NAME, "127.0.0.1", 4, origins=["https://example.org"]), BASE)
    assert app.get("/health", headers={"origin": "https://other.example"}).status_code == 403


def test_the_page_describes_every_address(client):
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "max_completion_tokens" in page and "<script" not in page


# ------------------------------------------------------------------------- chat completions
def complete(client, *messages, **given):
    system = {"role": "system", "content": "I like tea. I have two dogs."}
    return client.post(
        "/v1/chat/completions", json={"model": NAME, "messages": [system, *messages], **given}
    )


HELLO = {"role": "user", "content": "Hello!"}


def test_the_system_message_is_the_persona():
    assert sentences("I like tea. I have 2.5 dogs!\nI sing\n\n") == [
        *("I like tea.", "I have 2.5 dogs!", "I sing"),
    ]


def test_a_completion_is_the_reply_to_the_messages(client, bot):
    decoding = Decoding(0.7, 0.9, 12)
    before = [Utterance("partner", "Hello!"), Utterance("bot", "Hi, how are you?")]
    talk = bot.conversation(["I like tea.", "I have two dogs."], (), 5, before, decoding)
    messages = [
        HELLO,
        {"role": "assistant", "content": "Hi, how are you?", "refusal": None, "tool_calls": None},
        {"role": "user", "content": [{"type": "text", "text": "Fine. Do you like tea?"}]},
    ]
    given = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 12, "seed": 5}
    answer = complete(client, *messages, **given).json()
    reply = talk.reply("Fine. Do you like tea?")
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": reply}
    read, written = talk.usage
    expected = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    assert answer["usage"] == expected

    streamed = complete(
        client, *messages, **given, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = events(streamed)
    chunks = [json.loads(chunk) for chunk in chunks]
    assert last == "[DONE]" and chunks[-1]["usage"] == expected and chunks[-1]["choices"] == []
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(deltas) == reply
    assert chunks[-2]["choices"][0]["finish_reason"] == choice["finish_reason"]


def test_it_ends_at_a_stop_or_after_max_tokens(client):
    for seed in range(20):
        whole = complete(client, HELLO, seed=seed).json()["choices"][0]["message"]["content"]
        if len(whole) > 20:
            break
    stop = whole[3:5]
    for stream in (False, True):
        answer = complete(client, HELLO, seed=seed, stop=["\0", stop], stream=stream)
        if stream:
            chunks = [json.loads(event) for event in events(answer)[:-1]]
            choice = chunks[-1]["choices"][0]
            said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
        else:
            (choice,) = answer.json()["choices"]
            said = choice["message"]["content"]
        assert said == whole.partition(stop)[0] and choice["finish_reason"] == "stop"
    short = complete(client, HELLO, seed=seed, max_completion_tokens=2).json()
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    "given, status, why",
    [
        ({"n": 2}, 400, "n: Input should be 1"),
        ({"tools": []}, 400, "tools: Extra inputs"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty: Input should be less"),
        ({"top_p": 0}, 400, "top_p: Input should be greater"),
        ({"temperature": -0.1}, 400, "temperature: Input should be greater"),
        ({"stop": list("abcde")}, 400, "stop"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role"),
        ({"model": "gpt"}, 404, "no model 'gpt', only 'models/tiny'"),
    ],
    ids=str,
)
def test_what_a_completion_cannot_honour_is_refused(client, given, status, why):
    assert why in reason(complete(client, HELLO, **given), status)
