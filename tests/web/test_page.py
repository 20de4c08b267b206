"""The page over HTTP, without a browser, and the command that serves it."""

import base64
import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from gradio_client import Client
from serving import PERSONAS, serving

from p2bot_parlai import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.scripts.p2bot_web import P2botWeb
from p2bot_parlai.tools.web.limits import Limits
from p2bot_parlai.tools.web.page import Cast, about_rewards, as_html, impression, make_app
from p2bot_parlai.tools.web.page import relevance_map as as_map
from p2bot_parlai.tools.web.rewards import ReplyRewards
from p2bot_parlai.tools.web.talk import Impression, Line, Shown, Studio

NASTY = "<script>alert(1)</script> & \"' {x}"


@pytest.fixture(scope="module")
def studio(tiny_model, tiny_receiver):
    bot = P2Bot.load(tiny_model, receiver=tiny_receiver, inference="multinomial")
    bank = [sentence for persona in PERSONAS for sentence in persona]
    return Studio(bot, ReplyRewards(bot), bank, Limits(exchanges=2))


@pytest.fixture(scope="module")
def address(studio):
    cast = Cast(PERSONAS, PERSONAS[0])
    with serving(lambda port: make_app(studio, cast, "127.0.0.1", port, "tiny/model")) as found:
        yield found


@pytest.fixture
def http():
    with requests.Session() as session:
        session.trust_env = False  # no proxy for this machine
        yield session


def client(address) -> Client:
    return Client(address, verbose=False, httpx_kwargs={"trust_env": False})


def saved(answer) -> dict:
    """The conversation as the page's link saves it."""
    link = re.search(r'base64,([\w+/=]+)"', answer[2]).group(1)
    return json.loads(base64.b64decode(link))


def test_the_page_names_nothing_elsewhere(address, http):
    page = http.get(address)
    config = re.search(r"window\.gradio_config = (.*?);</script>", page.text).group(1)
    assert json.loads(config)["analytics_enabled"] is False
    tags = re.findall(r"<(?:link|script|img|iframe)\b[^>]*>", page.text)
    assert not [tag for tag in tags if "//" in tag.replace(address, "")]
    assert "googleapis" not in http.get(f"{address}/theme.css").text
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_visitors_talk_apart(address):
    clients = [client(address) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(c.predict, f"hello from {n}", you="", bot=f"i am {n}.", api_name="/reply")
            for n, c in enumerate(clients)
        ]
        answers = [job.result(180) for job in jobs]
    for n, (who, answer) in enumerate(zip(clients, answers, strict=True)):
        found = saved(answer)
        assert found["persona"] == [f"i am {n}."]
        assert [turn["speaker"] for turn in found["turns"]] == ["partner", "bot"]
        assert found["turns"][0]["text"] == f"hello from {n}"
        assert set(found["turns"][1]["rewards"]) == {"style", "coherence", "persona"}
        again = saved(who.predict("and now ?", api_name="/reply"))
        assert again["turns"][:1] == found["turns"][:1] and len(again["turns"]) == 4


def test_a_refusal_is_told(address):
    who = client(address)
    with pytest.raises(Exception, match="at most 500 characters"):
        who.predict("x" * 501, api_name="/reply")
    with pytest.raises(Exception, match="at most 200 characters"):
        who.predict("hello", bot="x" * 201, api_name="/reply")


def test_what_somebody_writes_is_text(studio):
    line = Line(1, NASTY, {"style": -1.234, "coherence": -2.0, "persona": 3.0})
    shown = Shown([NASTY], [NASTY, NASTY], [[0.5, 2.0]], [Impression(NASTY, 0.5, NASTY)])
    for html in (as_html(line, studio.rewards), as_map(shown), impression(shown)):
        assert "<script" not in html and "&lt;script&gt;" in html
    assert "style <b>-1.23</b>" in as_html(line, studio.rewards)
    assert "R <b>0.81</b>" in as_html(line, studio.rewards)
    assert as_map(Shown()) == impression(Shown()) == ""


def test_missing_rewards_are_explained(tiny_model):
    rewards = ReplyRewards(P2Bot.load(tiny_model, inference="greedy"))
    assert list(rewards.absent) == ["persona"]
    page = about_rewards(rewards)
    assert "not shown: no Receiver" in page and "needs all of them" in page
    rewards.agent.has_next_utterance = False
    assert "next-utterance head" in ReplyRewards(rewards.bot).absent["coherence"]


# ------------------------------------------------------------------------------ the command
@pytest.mark.parametrize(
    "options, why",
    [
        ({"port": -1}, "--port -1"),
        ({"task": "convai2:none", "port": 0}, "has no personas"),
        ({"receiver": "/nowhere/model", "port": 0}, "there is no Receiver at /nowhere/model"),
    ],
)
def test_what_the_command_refuses(tiny_model, convai2, options, why):
    given = {"model_file": tiny_model, "datapath": convai2, "loglevel": "error", **options}
    with pytest.raises(P2botError, match=re.escape(why)):
        P2botWeb.main(**given)


def test_a_missing_gradio_is_named(tiny_model, convai2, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(P2botError, match=r"needs gradio: pip install .*\[web\]"):
        P2botWeb.main(model_file=tiny_model, datapath=convai2, loglevel="error")


@pytest.mark.slow
def test_the_command_serves_and_ends(tiny_model, convai2, tmp_path):
    """Personas of the task; Ctrl-C ends it without a traceback."""
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
        assert saved(client(address).predict("hello", api_name="/reply"))["turns"]
        process.send_signal(signal.SIGINT)
        assert process.wait(180) == -signal.SIGINT
        assert process.stderr.read().strip().endswith("interrupted")
