"""The rating page in a browser: keys, correcting, resuming, and text that stays text."""

import pytest
import studies
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from serving import chromium, serving

from p2bot_parlai.tools.human_eval.ratings import RatingLog, read_ratings
from p2bot_parlai.tools.human_eval.server import rating_app

STUDY = studies.study()[0]


@pytest.fixture(scope="module")
def browser():
    with chromium(900, 1100) as driver:
        yield driver


class Page:
    """What a rater does and sees."""

    def __init__(self, browser, address, log):
        self.browser, self.address, self.log = browser, address, log

    def enter(self, name="anna"):
        self.browser.get(self.address)
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

    def grades(self):
        return [rating.grade for rating in read_ratings(self.log.path, STUDY)]


@pytest.fixture
def page(browser, tmp_path):
    with (
        RatingLog(str(tmp_path / "ratings.jsonl"), STUDY) as log,
        serving(lambda port: rating_app(STUDY, log, "127.0.0.1")) as address,
    ):
        yield Page(browser, address, log)


def test_it_shows_persona_context_and_response(page):
    page.enter()
    assert page.find("persona").text.split("\n")[1:] == ["i eat soup.", "i own a goat."]
    assert page.find("context").text.split("\n") == [
        *("Partner", "hello , i am number 0 ."),
        *("Speaker", "hi , i like soup ."),
        *("Partner", "do you own a pet ?"),
    ]
    assert page.find("response").text == STUDY.items[0].responses[0].text
    assert "consistent with the persona" in page.find("grades").text
    assert page.browser.get_log("browser") == []


def test_text_stays_text(page):
    page.enter()
    texts = [r.text for _, r in STUDY.responses()]
    page.press(*"1" * texts.index(f"i do . a goat ! {studies.SCRIPT}"))
    assert page.find("response").text.endswith(studies.SCRIPT)
    assert page.browser.title == "Rate responses"
    assert not page.browser.find_elements(By.CSS_SELECTOR, "main script")


def test_keys_and_clicks_rate_to_the_end_and_a_rater_resumes_by_name(page):
    page.enter()
    page.press(*"123")
    page.browser.find_elements(By.CSS_SELECTOR, "#grades button")[3].click()
    page.wait(lambda: page.grades() == [1, 2, 3, 4])
    page.browser.find_element(By.TAG_NAME, "body").send_keys("5", "0", "x")  # these do nothing
    page.press("4", "4")
    assert page.grades() == [1, 2, 3, 4, 4, 4]
    assert page.find("done").is_displayed() and not page.find("rating").is_displayed()
    assert page.find("progress").text == "anna: 6 of 6 rated"
    page.enter("bob")
    assert page.find("progress").text == "bob: 0 of 6 rated"
    page.enter("anna")
    assert page.find("progress").text == "anna: 6 of 6 rated"


def test_going_back_corrects(page):
    page.enter()
    page.press("1", "2", Keys.ARROW_LEFT, Keys.BACKSPACE)
    pressed = page.browser.find_elements(By.CSS_SELECTOR, "#grades [aria-pressed=true]")
    assert [button.get_attribute("value") for button in pressed] == ["1"]
    page.press("4")  # the first; the next is shown, which may want correcting too
    page.press(Keys.ARROW_RIGHT, "3")
    assert page.grades() == [1, 2, 4, 3]
    assert page.log.of("anna") == {"c1r1": 4, "c1r2": 2, "c2r1": 3}


def test_a_rating_that_is_not_saved_is_told(page):
    page.enter()
    page.press("1")
    page.browser.execute_script("window.fetchBefore = fetch; fetch = () => Promise.reject()")
    page.press("2")
    assert "not saved" in page.find("problem").text
    assert page.find("progress").text == "anna: 1 of 6 rated"
    page.browser.execute_script("fetch = fetchBefore")
    page.press("2")
    assert not page.find("problem").is_displayed() and page.grades() == [1, 2]
