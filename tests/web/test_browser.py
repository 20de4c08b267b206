"""
The page in a real Chromium without a screen, with the models that ship.

`make test` installs Debian's chromium and chromium-driver where it may.
"""

import json
import re
import shutil

import pytest
from gradio_client import Client
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from serving import serving

from p2bot_parlai import P2Bot

pytestmark = pytest.mark.slow

PERSONAS = [
    ["i have two dogs.", "i work as a librarian.", "my favorite food is pizza."],
    ["i speak arabic.", "i watch a lot of cartoons."],
    ["i collect teapots.", "i have a pony."],
]
SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='hacked=1'> ${hacked=1} {{value}}"
HEBREW, EMOJI = "שלום, מה שלומך?", "i have two dogs 🐶🐕‍🦺"
REWARDS = "#chat-log .second .p2-rewards"
MESSAGE = "#chat-message textarea, #chat-message input"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    data = str(tmp_path_factory.mktemp("data"))
    bot = P2Bot.load("zoo:p2bot/sketch/model", datapath=data)
    with serving(bot, PERSONAS, rate=50, burst=100) as (address, site):
        yield address, site


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    paths = shutil.which("chromium"), shutil.which("chromedriver")
    assert all(paths), "tests/web needs chromium and chromedriver: make browser"
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    profile = tmp_path_factory.mktemp("profile")
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                 "--window-size=1280,1400", f"--user-data-dir={profile}"):  # fmt: skip
        options.add_argument(flag)
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


class Person:
    """Somebody at the page."""

    def __init__(self, driver, address: str):
        self.driver, self.address = driver, address

    def wait(self, condition, seconds: float = 180):
        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(condition)

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.get_property("textContent") for element in self.all(selector)]

    def open(self) -> None:
        self.driver.get(self.address)
        self.wait(lambda _: self.all(MESSAGE) and self.all("#chat-log [data-state=idle]"))

    def arrive_anew(self) -> None:
        self.driver.delete_all_cookies()
        self.open()

    def write(self, selector: str, text: str) -> None:
        """Keys cannot type every emoji; the page hears of it as of typing."""
        (field,) = self.all(selector)
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.driver.execute_script(script, field, text)

    def click(self, label: str) -> None:
        (button,) = [b for b in self.all("button") if b.text == label and b.is_displayed()]
        button.click()

    def say(self, text: str) -> None:
        before = len(self.all(REWARDS))
        self.write(MESSAGE, text)
        self.all(MESSAGE)[0].send_keys(Keys.ENTER)
        self.wait(lambda _: len(self.all(REWARDS)) > before and self.idle("chat"))

    def idle(self, name: str) -> bool:
        return bool(self.all(f"#{name}-log [data-state=idle]"))

    def widths(self, width: int) -> tuple[int, int]:
        """(what the page takes, what there is) on a screen of this width."""
        metrics = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        script = "return [document.documentElement.scrollWidth, innerWidth]"
        return tuple(self.driver.execute_script(script))


@pytest.fixture
def person(chromium, page):
    chromium.get_log("browser")
    person = Person(chromium, page[0])
    person.arrive_anew()
    yield person
    complaints = [e["message"] for e in chromium.get_log("browser") if e["level"] == "SEVERE"]
    assert not complaints


def test_a_chat(person):
    """Reply, rewards, maps, impression, links; a reload shows it all again; a visitor apart."""
    chromium = person.driver
    person.say("hello , how are you ?")
    person.say("do you have pets ?")
    assert person.texts("#chat-log .first .p2-bubble") == [
        "hello , how are you ?",
        "do you have pets ?",
    ]
    for rewards in person.texts(REWARDS):
        assert re.fullmatch(r"style -\d.*coherence -\d.*persona -?\d.*R -?[\d.]+", rewards)
    assert len(person.all(".p2-map")) == 2
    of_bot = "[aria-label='What you could perceive of it'] "
    assert person.texts(of_bot + "thead th") == PERSONAS[0]
    assert len(person.all(of_bot + "tbody tr")) == 2
    assert len(person.all(".p2-impression li")) == 5
    assert person.all(MESSAGE)[0].get_attribute("value") == ""
    links = [a.get_attribute("href") for a in person.all(".p2-downloads a")]
    assert [link.rsplit("/", 1)[1] for link in links] == [
        "chat.json",
        "chat-first.png",
        "chat-second.png",
    ]
    fetched = chromium.execute_async_script(
        "const done = arguments[1]; Promise.all(arguments[0].map(link => fetch(link).then("
        "answer => [answer.status, answer.headers.get('content-type')]))).then(done)",
        links,
    )
    assert fetched == [[200, "application/json"], [200, "image/png"], [200, "image/png"]]

    shown = person.texts("#chat-log .p2-message")
    cookies = chromium.get_cookies()
    person.open()  # a reload
    person.wait(lambda _: person.texts("#chat-log .p2-message") == shown)
    assert len(person.all(".p2-map")) == 2
    person.arrive_anew()
    assert person.all("#chat-log .p2-message") == []
    chromium.delete_all_cookies()
    for cookie in cookies:
        chromium.add_cookie(cookie)
    person.open()
    person.wait(lambda _: person.texts("#chat-log .p2-message") == shown)


def test_text_is_text(person):
    for text in (SCRIPT, HEBREW, EMOJI):
        person.say(text)
    person.wait(lambda _: person.texts("#chat-log .first .p2-bubble") == [SCRIPT, HEBREW, EMOJI])
    person.open()
    person.wait(lambda _: len(person.all("#chat-log .first .p2-bubble")) == 3)
    assert person.driver.execute_script("return window.hacked") is None
    assert person.all("#chat-log script, #chat-log img, .p2-map img, .p2-impression img") == []
    direction = "return getComputedStyle(arguments[0]).direction"
    spans = person.all("#chat-log .first .p2-bubble span")
    assert [person.driver.execute_script(direction, span) for span in spans] == [
        "ltr",
        "rtl",
        "ltr",
    ]


def test_personas_are_chosen(person):
    """A long one and an own one; on narrow screens and wide ones nothing sticks out."""
    long = [f"i have {'very ' * 8}many hobbies , for example number {n}." for n in range(7)]
    person.write("#chat-bot textarea", "\n".join(long))
    person.write("#chat-you textarea", "i collect teapots.\n" + "x" * 190)
    person.say("i collect teapots . " + "y" * 300)
    assert person.texts("[aria-label='What it perceives of you'] thead th") == [
        "i collect teapots.",
        "x" * 190,
    ]
    assert len(person.all("[aria-label='What you could perceive of it'] thead th")) == 7
    try:
        for width in (390, 1280):
            taken, there = person.widths(width)
            assert taken <= there == width
    finally:
        person.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    person.all("#chat-you-draw")[0].click()
    drawn = "\n".join(PERSONAS[2])
    own = "#chat-you textarea"
    person.wait(lambda _: person.all(own)[0].get_attribute("value") == drawn)
    person.click("New chat with these personas")
    person.wait(lambda _: person.all("#chat-log .p2-empty"))
    person.click("Let the bot speak")
    person.wait(lambda _: person.all(REWARDS) and person.idle("chat"))
    assert person.all("#chat-log .first") == []


def test_what_is_too_much_is_said(person):
    person.write("#chat-bot textarea", "\n".join(f"i have {n} cats." for n in range(11)))
    person.write(MESSAGE, "hello")
    person.click("Send")
    person.wait(lambda _: "at most 10 sentences" in " ".join(person.texts(".toast-body")))
    assert person.all("#chat-log .p2-message") == []
    assert person.all(MESSAGE)[0].get_attribute("value") == "hello", "it is not lost"


def test_two_bots_talk(person):
    (tab,) = [t for t in person.all("button[role=tab]") if t.text == "Two bots talk"]
    tab.click()
    person.wait(lambda _: any(b.text == "Let them talk" for b in person.all("button")))
    person.click("Let them talk")
    rewards = "#duet-log .p2-rewards"
    person.wait(lambda _: len(person.all(rewards)) == 8 and person.idle("duet"))
    for who, persona in (("A", PERSONAS[0]), ("B", PERSONAS[1])):
        other = "B" if who == "A" else "A"
        table = f"[aria-label='What {other} perceives of {who}'] "
        assert person.texts(table + "thead th") == persona
        assert len(person.all(table + "tbody tr")) == 4


def test_a_reply_streams_and_outlives_a_reload(person, page):
    """With the network held, the page shows what is there; loaded again it goes on following."""
    _, site = page
    lock = site.page.studio.bot.speaker.lock
    with lock:
        person.write(MESSAGE, "hello , how are you ?")
        person.all(MESSAGE)[0].send_keys(Keys.ENTER)
        person.wait(lambda _: person.all("#chat-log [data-state=busy] .p2-typing"))
        person.driver.get(person.address)
        person.driver.get_log("browser")  # the page that was left says that it waits no more
        person.wait(lambda _: person.all("#chat-log [data-state=busy] .p2-typing"))
    person.wait(lambda _: person.all(REWARDS) and person.idle("chat"))


def busy(site) -> int:
    return sum(talk.busy for visit in site.visitors.all() for talk in visit.talks.values())


def test_who_waits_sees_the_place_in_the_queue(person, page):
    _, site = page
    studio = site.page.studio
    with studio.bot.speaker.lock:  # all places are taken, and nobody gets on
        clients = [
            Client(person.address, verbose=False, httpx_kwargs={"trust_env": False})
            for _ in range(studio.limits.replies_at_once + 1)
        ]
        jobs = [client.submit("hello", api_name="/reply") for client in clients]
        person.wait(lambda _: busy(site) == studio.limits.replies_at_once)
        person.write(MESSAGE, "hello")
        person.click("Send")
        person.wait(lambda _: re.search(r"queue: [12]/2", " ".join(person.texts("#chat-status"))))
    assert all(job.result(180) for job in jobs)
    person.wait(lambda _: person.all(REWARDS) and person.idle("chat"))


def test_nothing_is_fetched_from_elsewhere(chromium, page):
    """Over all that was done above."""
    asked = set()
    for entry in chromium.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            asked.add(event["params"]["request"]["url"])
    own = (page[0] + "/", "data:", "blob:", "chrome:")  # the last: its own first tab
    assert len(asked) > 20
    assert not [url for url in asked if not url.startswith(own)]
