"""The rating page in a browser: keys, correcting, resuming, and text that stays text."""

import shutil
import threading

import pytest
import studies
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from p2bot_parlai.tools.human_eval.ratings import RatingLog, read_ratings
from p2bot_parlai.tools.human_eval.server import RatingServer

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=900,1100")


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # found here, or Selenium looks for one on the network
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def study():
    return studies.study()[0]


class Page:
    """What a rater does and sees."""

    def __init__(self, browser, study, path):
        self.browser, self.study, self.path = browser, study, path
        self.port = 0
        self.start()

    def start(self):
        self.log = RatingLog(self.path, self.study)
        self.server = RatingServer(self.study, self.log, port=self.port)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.log.close()

    def enter(self, name="anna"):
        self.browser.get(self.server.url)
        self.find("name").send_keys(name, Keys.ENTER)
        self.wait(lambda: self.find("progress").text)

    def find(self, name):
        return self.browser.find_element(By.ID, name)

    def wait(self, condition):
        return WebDriverWait(self.browser, 20, poll_frequency=0.02).until(lambda _: condition())

    def press(self, *keys):
        """Press each key and wait for what it does to the page."""
        for key in keys:
            before = self.state()
            self.browser.find_element(By.TAG_NAME, "body").send_keys(key)
            self.wait(lambda before=before: self.state() != before)

    def state(self):
        shown = [self.find(name).is_displayed() for name in ("rating", "done", "problem")]
        return self.browser.execute_script("return place"), self.find("progress").text, shown

    def ratings(self):
        return [(r.rater, r.response, r.grade) for r in read_ratings(self.path, self.study)]


@pytest.fixture
def page(browser, study, tmp_path):
    made = Page(browser, study, str(tmp_path / "ratings.jsonl"))
    yield made
    made.stop()


def test_it_shows_persona_context_and_response(page):
    page.enter()
    assert page.find("persona").text.split("\n")[1:] == ["i eat soup.", "i own a goat."]
    assert page.find("context").text.split("\n") == [
        *("Partner", "hello , i am number 0 ."),
        *("Speaker", "hi , i like soup ."),
        *("Partner", "do you own a pet ?"),
    ]
    assert page.find("response").text == page.study.items[0].responses[0].text
    assert "consistent with the persona" in page.find("grades").text
    assert page.browser.get_log("browser") == []


def test_text_stays_text(page):
    page.enter()
    with_script = [r.text for _, r in page.study.responses()].index(
        f"i do . a goat ! {studies.SCRIPT}"
    )
    page.press(*"1" * with_script)
    assert page.find("response").text.endswith(studies.SCRIPT)
    assert page.browser.title == "Rate responses"
    assert not page.browser.find_elements(By.CSS_SELECTOR, "main script")


def test_keys_rate_to_the_end(page):
    page.enter()
    page.press(*"1234")
    assert page.ratings() == [
        ("anna", response.id, grade)
        for grade, (_, response) in enumerate(list(page.study.responses())[:4], start=1)
    ]
    page.press("4", "4")
    assert page.find("done").is_displayed() and not page.find("rating").is_displayed()
    assert page.find("progress").text == "anna: 6 of 6 rated"


def test_going_back_corrects(page):
    page.enter()
    page.press("1", "2", Keys.ARROW_LEFT, Keys.BACKSPACE)
    pressed = page.browser.find_elements(By.CSS_SELECTOR, "#grades [aria-pressed=true]")
    assert [button.get_attribute("value") for button in pressed] == ["1"]
    page.press("4")  # the first; the next is shown, which may want correcting too
    page.press(Keys.ARROW_RIGHT, "3")
    assert [grade for _, _, grade in page.ratings()] == [1, 2, 4, 3]
    assert page.log.of("anna") == {"c1r1": 4, "c1r2": 2, "c2r1": 3}


def test_it_goes_on_where_the_rater_stopped(page):
    page.enter()
    page.press("1", "2")
    page.browser.get("about:blank")
    page.enter("bob")
    assert page.find("progress").text == "bob: 0 of 6 rated"
    page.enter("anna")
    assert page.find("progress").text == "anna: 2 of 6 rated"
    assert page.browser.execute_script("return place") == 2


def test_a_click_rates_too(page):
    page.enter()
    page.browser.find_elements(By.CSS_SELECTOR, "#grades button")[2].click()
    page.wait(lambda: page.ratings() == [("anna", "c1r1", 3)])


def test_a_server_that_is_gone_loses_nothing(page):
    page.enter()
    page.press("1")
    page.stop()
    page.press("2")
    assert "not saved" in page.find("problem").text
    assert page.find("progress").text == "anna: 1 of 6 rated"
    page.start()
    page.press("2")
    assert not page.find("problem").is_displayed()
    assert [grade for _, _, grade in page.ratings()] == [1, 2]


def test_other_keys_do_nothing(page):
    page.enter()
    body = page.browser.find_element(By.TAG_NAME, "body")
    body.send_keys("5", "0", "x", Keys.CONTROL + "1")
    body.send_keys(Keys.NULL)
    page.press("3")
    assert [grade for _, _, grade in page.ratings()] == [3]


def test_a_bad_name_is_said(page):
    page.browser.get(page.server.url)
    page.find("name").send_keys("  ", Keys.ENTER)
    page.wait(lambda: "name is missing" in page.find("problem").text)
    assert not page.find("rating").is_displayed()
