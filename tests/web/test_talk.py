"""Conversations of the page, apart from the page: limits, rewards, what is shown, visitors."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from serving import PERSONAS

from p2bot_parlai import P2Bot
from p2bot_parlai.method.context import Dialogue, build_context
from p2bot_parlai.method.layout import Turn
from p2bot_parlai.method.reward_models import (
    DiscourseCoherence,
    LanguageStyle,
    PersonaPerception,
    SupervisedReading,
)
from p2bot_parlai.method.rollouts import Opening, Rollouts
from p2bot_parlai.tools.web import render
from p2bot_parlai.tools.web.judge import Exchange, Judge
from p2bot_parlai.tools.web.limits import Bucket, Limits, Refused
from p2bot_parlai.tools.web.talk import FIRST, SECOND, Studio
from p2bot_parlai.tools.web.visitors import CHAT, Visitors

OWN, PARTNER = PERSONAS[:2]
SAID = [("hello", "i have two dogs ."), ("nice !", "do you like tea ?"), ("no", "why ?")]
NASTY = "<script>alert(1)</script> & \"'"


@pytest.fixture(scope="module")
def bot(tiny_model, tiny_receiver):
    return P2Bot.load(tiny_model, receiver=tiny_receiver, inference="multinomial")


@pytest.fixture(scope="module")
def judge(bot):
    return Judge(bot)


@pytest.fixture
def workers():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def studio(bot, judge, workers):
    bank = [sentence for persona in PERSONAS for sentence in persona]
    return Studio(bot, judge, bank, Limits(exchanges=3), workers, seed=5)


def finish(talk):
    """Let it be said to the end; how often it changed meanwhile."""
    return sum(1 for _ in talk.follow())


# ------------------------------------------------------------------------------ the rewards
def test_rewards_are_those_of_self_play(bot, judge):
    """One by one as in a chat, against the whole dialogue as in self-play."""
    agent = bot.speaker.agent
    tokens = agent.dict.p2bot
    turns, dialogue = [], Dialogue(OWN)
    for heard, said in SAID:
        dialogue.turns.append((False, heard))
        ids = build_context(dialogue, tokens, agent.text_truncate).ids
        turns.append([Turn(ids, [*tokens.encode(said), tokens.eos])])
        dialogue.turns.append((True, said))
    heard, said = ([[text] for text in texts] for texts in zip(*SAID, strict=True))
    played = Rollouts([Opening(PARTNER, OWN, SAID[0][0], 0)], heard, said, turns)
    style = LanguageStyle(agent.network.backbone, [tokens.self_], tokens)(played)[0]
    coherence = DiscourseCoherence(SupervisedReading(agent.network, tokens))(played)[0]
    with bot.perceiver() as perceiver:
        persona = PersonaPerception(perceiver, 0.5)(played)[0]

    spoken = dialogue.turns
    found = [judge.reply(Dialogue(OWN, [], spoken[: 2 * n + 1]), SAID[n][1]) for n in range(3)]
    torch.testing.assert_close(torch.tensor([f["style"] for f in found]), style)
    torch.testing.assert_close(torch.tensor([f["coherence"] for f in found]), coherence)
    exchanges = [Exchange(*pair) for pair in SAID]
    assert judge.perception(exchanges, OWN, PARTNER) == pytest.approx(persona.tolist())
    whole = {"style": -1.0, "coherence": -2.0, "persona": 3.0}
    assert judge.total(whole) == pytest.approx(0.4 * -1 + 0.1 * -2 + 0.5 * 3)
    assert judge.total({"style": -1.0}) is None


def test_what_is_missing_is_said(tiny_model):
    judge = Judge(P2Bot.load(tiny_model, inference="greedy"))
    assert list(judge.absent) == ["persona"]
    page = render.about_rewards(judge)
    assert "not shown: no Receiver" in page and "needs all three" in page
    assert judge.perception([Exchange("hello", "hi")], OWN, PARTNER) == []
    judge.agent.has_next_utterance = False
    assert "next-utterance head" in Judge(judge.bot).absent["coherence"]


# ------------------------------------------------------------------------- a conversation
def test_a_reply_grows_and_is_judged(studio):
    talk = studio.chat(OWN, [])
    talk.say("i have two dogs .")
    assert finish(talk) >= 2
    you, answer = talk.lines
    assert (you.text, you.judged) == ("i have two dogs .", {})
    assert set(answer.judged) == {"style", "coherence", "persona"}
    assert talk.shown[SECOND].sentences == OWN
    assert talk.shown[SECOND].relevance == studio.bot.relevance([answer.text], OWN)
    impression = studio.bot.impression([you.text], studio.bank)
    assert talk.shown[FIRST].impression == impression
    assert talk.shown[FIRST].sentences == [found.sentence for found in impression]


def test_later_turns_change_the_perception_of_earlier_ones(studio):
    talk = studio.chat(OWN, PARTNER)
    talk.say("i play the guitar")
    finish(talk)
    first = dict(talk.lines[1].judged)
    talk.say("i work as a nurse")
    finish(talk)
    later = talk.lines[1].judged
    assert later["persona"] != first["persona"]
    assert (later["style"], later["coherence"]) == (first["style"], first["coherence"])
    said = [Exchange(talk.lines[n].text, talk.lines[n + 1].text) for n in (0, 2)]
    assert later["persona"] == studio.judge.perception(said, OWN, PARTNER)[0]
    assert talk.shown[FIRST].sentences == PARTNER


def test_the_answers_are_the_bots(studio):
    alone = studio.bot.conversation(OWN, seed=studio.seed)
    talk = studio.chat(OWN, [])
    for text in ("hello", "who are you ?"):
        talk.say(text)
        finish(talk)
    expected = [alone.reply(text) for text in ("hello", "who are you ?")]
    assert [line.text for line in talk.lines[1::2]] == expected


def test_two_bots(studio):
    talk = studio.duet(OWN, PARTNER)
    talk.go_on(2)
    finish(talk)
    assert [line.speaker for line in talk.lines] == [FIRST, SECOND] * 2
    assert all(set(line.judged) == {"style", "coherence", "persona"} for line in talk.lines)
    heard = [line.text for line in talk.lines]
    for who in (FIRST, SECOND):
        told = [turn.text for turn in talk.minds[who].turns if turn.speaker == "partner"]
        assert told == [text for text in heard[: len(heard) - who] if text in told][: len(told)]
    assert talk.minds[SECOND].persona == PARTNER
    with pytest.raises(Refused, match="3 replies"):
        talk.go_on(2)


def test_a_conversation_ends(studio):
    talk = studio.chat(OWN, [])
    for _ in range(3):
        talk.say("hello")
        finish(talk)
    with pytest.raises(Refused, match="start a new one"):
        talk.say("hello")
    assert len(talk.lines) == 6 and not talk.busy


def test_one_thing_after_the_other(studio):
    talk = studio.chat(OWN, [])
    with studio.bot.speaker.lock:  # the reply cannot begin
        talk.say("hello")
        with pytest.raises(Refused, match="not finished"):
            talk.say("are you there ?")
    finish(talk)
    assert [line.speaker for line in talk.lines] == [FIRST, SECOND]


def test_a_reply_that_fails_leaves_the_conversation_as_it_was(studio):
    talk = studio.chat(["i like tea " * 80], [])
    talk.say("hello")
    finish(talk)
    assert "the persona takes" in talk.fault and talk.lines == [] and not talk.busy
    assert "the persona takes" in render.status(talk)


def test_it_stops(studio):
    talk = studio.duet(OWN, PARTNER)
    with studio.bot.speaker.lock:
        talk.go_on(3)
        talk.stop()
    finish(talk)
    assert len(talk.lines) < 6


def test_many_watch_one_conversation(studio):
    talk = studio.chat(OWN, [])
    counts = []
    with studio.bot.speaker.lock:
        talk.say("hello")
        watchers = [threading.Thread(target=lambda: counts.append(finish(talk))) for _ in "ab"]
        [watcher.start() for watcher in watchers]
    [watcher.join(30) for watcher in watchers]
    assert len(counts) == 2


def test_json(studio):
    talk = studio.chat(OWN, PARTNER)
    talk.say("hello 🐶 שלום")
    finish(talk)
    saved = json.loads(json.dumps(talk.to_json()))
    assert (saved["format"], saved["persona"]) == ("p2bot-chat-1", OWN)
    assert saved["turns"][0] == {"speaker": "partner", "text": "hello 🐶 שלום"}
    assert saved["turns"][1]["rewards"] == talk.lines[1].judged
    assert saved["perceived"]["partner"]["sentences"] == PARTNER


# ------------------------------------------------------------------------------ as HTML
def test_what_somebody_writes_is_text(studio):
    talk = studio.chat([NASTY], [NASTY + "2"])
    talk.say(NASTY)
    finish(talk)
    shown = talk.shown[FIRST]
    found = [
        render.chat(talk, ("You", "P²Bot"), "", studio.judge),
        render.relevance_map(shown, "map", ""),
        render.impression(shown, ""),
        render.persona(talk.personas[FIRST], "You"),
    ]
    for html in found:
        assert "<script" not in html
    assert "&lt;script&gt;" in found[0] and "&lt;script&gt;" in found[1]


def test_the_map_marks_the_highest(studio):
    talk = studio.chat(OWN, PARTNER)
    talk.say("i play the guitar")
    finish(talk)
    html = render.relevance_map(talk.shown[FIRST], "map", "")
    (row,) = talk.shown[FIRST].relevance
    assert html.count("highest") == 1 and f">{max(row):.2f}<" in html.split("highest")[1]


# ----------------------------------------------------------------------- limits and visitors
def test_messages_are_bounded():
    limits = Limits(message=5)
    assert limits.checked_message("  a\nb\x00 \ud800 ") == "a b"
    for text, why in (("", "something"), ("\n \t", "something"), (None, "something"),
                      (["x"], "something"), ("abcdef", "at most 5")):  # fmt: skip
        with pytest.raises(Refused, match=why):
            limits.checked_message(text)


def test_personas_are_bounded():
    limits = Limits(sentences=2, sentence=8)
    assert limits.checked_persona(" i sing \n\n i sing\ni run") == ["i sing", "i run"]
    assert limits.checked_persona(None) == limits.checked_persona(7) == []
    for text, why in (("a\nb\nc", "at most 2"), ("a" * 9, "at most 8")):
        with pytest.raises(Refused, match=why):
            limits.checked_persona(text)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_who_floods_waits_and_nobody_else():
    clock = Clock()
    visitors = Visitors(Limits(rate=2, burst=3, patience=1), clock)
    waits = [visitors.pace("flood") for _ in range(6)]
    assert waits == [0, 0, 0, 0.5, 1.0, None]
    assert visitors.pace("calm") == 0
    clock.now += 1
    assert visitors.pace("flood") == 0.5
    clock.now += 100
    assert visitors.pace("flood") == 0


def test_pace_is_forgotten_when_it_says_nothing():
    clock = Clock()
    visitors = Visitors(Limits(visitors=2), clock)
    for number in range(21):
        visitors.pace(str(number))
        clock.now += 2
    assert len(visitors._buckets) <= 20 + 1
    bucket = Bucket(1, 2, clock)
    assert bucket.full and bucket.take(0) == 0 and not bucket.full


def test_the_longest_idle_goes(studio):
    clock = Clock()
    visitors = Visitors(Limits(visitors=2, idle=10), clock)
    talk = visitors.enter("a").replace(CHAT, studio.chat(OWN, []))
    clock.now = 1
    visitors.enter("b")
    with pytest.raises(Refused, match="places are taken"):
        visitors.enter("c")
    assert visitors.enter("a").talks[CHAT] is talk
    clock.now = 11
    visitors.find("b")
    visitors.enter("c")
    assert visitors.find("a") is None and len(visitors) == 2 and talk._stopped
