"""The page in headless Chromium, with the models that ship."""

import base64
import json
import re

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from serving import chromium, serving

from p2bot_parlai import P2Bot
from p2bot_parlai.tools.web.limits import Limits
from p2bot_parlai.tools.web.page import Cast, make_app
from p2bot_parlai.tools.web.rewards import ReplyRewards
from p2bot_parlai.tools.web.talk import Studio

PERSONAS = [
    ["i have two dogs.", "i work as a librarian.", "my favorite food is pizza."],
    ["i speak arabic.", "i watch a lot of cartoons."],
]
SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='hacked=1'> ${hacked=1} {{value}}"
HEBREW, EMOJI = "שלום, מה שלומך?", "i have two dogs 🐶🐕‍🦺"
MESSAGE = "#chat-message textarea, #chat-message input"
YOU, BOT = "#chat-log .user .message-content", "#chat-log .bot .message-content"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    bot = P2Bot.load("zoo:p2bot/sketch/model", datapath=str(tmp_path_factory.mktemp("data")))
    bank = [sentence for persona in PERSONAS for sentence in persona]
    studio = Studio(bot, ReplyRewards(bot), bank, Limits())
    cast = Cast(PERSONAS, PERSONAS[0])
    with serving(lambda port: make_app(studio, cast, "127.0.0.1", port, "sketch")) as address:
        yield address, studio


@pytest.fixture(scope="module")
def driver():
    with chromium(1280, 1400) as driver:
        yield driver


class Person:
    """Somebody at the page."""

    def __init__(self, driver, address: str):
        self.driver, self.address = driver, address
        self.driver.get(address)
        self.wait(lambda: self.all(MESSAGE))

    def wait(self, condition):
        return WebDriverWait(self.driver, 25, poll_frequency=0.05).until(lambda _: condition())

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.get_property("innerText").strip() for element in self.all(selector)]

    def write(self, selector: str, text: str) -> None:
        """Keys cannot type every emoji; the page sees the same event as for typing."""
        (field,) = self.all(selector)
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.driver.execute_script(script, field, text)

    def click(self, label: str) -> None:
        (button,) = [b for b in self.all("button") if b.text == label and b.is_displayed()]
        button.click()

    def rewarded(self, kind: str = "chat") -> int:
        return len(self.all(f"#{kind}-log .message-content small"))

    def say(self, text: str) -> None:
        before = self.rewarded()
        self.write(MESSAGE, text)
        self.all(MESSAGE)[0].send_keys(Keys.ENTER)
        self.wait(lambda: self.rewarded() > before)

    def saved(self) -> dict:
        (link,) = [a for a in self.all("a[download]") if a.is_displayed()]
        return json.loads(base64.b64decode(link.get_attribute("href").split(",")[1]))


@pytest.fixture
def person(driver, page):
    driver.get_log("browser")
    yield Person(driver, page[0])
    complaints = [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE"]
    assert not complaints


def test_a_chat(person):
    """Replies, rewards, maps, impressions; another window is another conversation."""
    person.say("hello , how are you ?")
    person.say("do you have pets ?")
    assert person.texts(YOU) == ["hello , how are you ?", "do you have pets ?"]
    for reply in person.texts(BOT):
        assert re.search(r"style -\d.*coherence -\d.*persona -?\d.*R -?[\d.]+", reply)
    person.wait(lambda: len(person.all("table.p2")) == 4)
    of_bot = person.all("table.p2")[2]
    assert [th.text for th in of_bot.find_elements(By.CSS_SELECTOR, "thead th")][1:] == PERSONAS[0]
    assert len(of_bot.find_elements(By.CSS_SELECTOR, "tbody tr")) == 2
    assert person.all(MESSAGE)[0].get_attribute("value") == ""
    saved = person.saved()
    assert saved["persona"] == PERSONAS[0] and len(saved["turns"]) == 4
    assert Person(person.driver, person.address).texts(YOU) == []


def test_text_is_text_and_nothing_sticks_out(person):
    person.write("#chat-You textarea", "i collect teapots.\n" + "x" * 190)
    person.write("#chat-P²Bot textarea", f"i like {SCRIPT}\n{HEBREW}")
    for text in (SCRIPT, HEBREW, EMOJI + "y" * 300):
        person.say(text)
    person.wait(lambda: person.texts(YOU) == [SCRIPT, HEBREW, EMOJI + "y" * 300])
    person.wait(lambda: f"i like {SCRIPT}" in person.texts("table.p2 thead th"))
    assert person.driver.execute_script("return window.hacked") is None
    assert person.all("#chat-log script, #chat-log img, table.p2 img, table.p2 script") == []
    width = "return document.documentElement.scrollWidth"
    assert person.driver.execute_script(width) <= 1280


def test_what_is_too_much_is_told(person):
    person.write("#chat-P²Bot textarea", "\n".join(f"i have {n} cats." for n in range(11)))
    person.write(MESSAGE, "hello")
    person.click("Send")
    person.wait(lambda: "at most 10 sentences" in " ".join(person.texts(".toast-body")))
    assert person.texts(YOU) == []
    assert person.all(MESSAGE)[0].get_attribute("value") == "hello", "it is not lost"


def test_two_bots_talk_and_stop(person, page):
    (tab,) = [t for t in person.all("button[role=tab]") if t.text == "Two bots talk"]
    tab.click()
    person.wait(lambda: any(b.text == "Let them talk" for b in person.all("button")))
    person.click("Let them talk")
    person.wait(lambda: person.rewarded("duet") == 8)
    person.click("New chat with these personas")
    person.wait(lambda: not person.all("#duet-log .message-content"))
    with page[1].bot.speaker.lock:  # nothing can be said
        person.click("Let them talk")
        person.wait(lambda: person.all("#duet-log .message-content"))
        person.click("Stop")
    person.click("Let them talk")  # it is free again
    person.wait(lambda: person.rewarded("duet") >= 8)


def test_nothing_is_fetched_from_elsewhere(driver, page):
    """In all of the above."""
    asked = set()
    for entry in driver.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            asked.add(event["params"]["request"]["url"])
    own = (page[0] + "/", "data:", "blob:", "chrome:")  # the last: its own first tab
    assert len(asked) > 20
    assert not [url for url in asked if not url.startswith(own)]
