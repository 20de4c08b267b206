"""Conversations apart from the page: limits, rewards, what is revealed."""

import json

import pytest
import torch

from p2bot_parlai import P2Bot
from p2bot_parlai.method.context import Dialogue, build_context, in_one_line
from p2bot_parlai.method.layout import Turn
from p2bot_parlai.method.reward_models import (
    DiscourseCoherence,
    LanguageStyle,
    PersonaPerception,
    SupervisedReading,
)
from p2bot_parlai.method.rollouts import Opening, Rollouts
from p2bot_parlai.tools.web.limits import Limits, Refused
from p2bot_parlai.tools.web.rewards import Exchange, ReplyRewards
from p2bot_parlai.tools.web.talk import FIRST, SECOND, Studio

OWN, PARTNER = ["i like tea.", "i have two dogs."], ["i work as a nurse.", "i play the guitar."]
SAID = [("hello", "i have two dogs ."), ("nice !", "do you like tea ?"), ("no", "why ?")]
ALL = {"style", "coherence", "persona"}


@pytest.fixture(scope="module")
def studio(tiny_model, tiny_receiver):
    bot = P2Bot.load(tiny_model, receiver=tiny_receiver, inference="multinomial")
    return Studio(bot, ReplyRewards(bot), [*OWN, *PARTNER], Limits(exchanges=3), seed=5)


def finish(steps) -> int:
    """Run it to the end; how often something changed."""
    return sum(1 for _ in steps)


def test_rewards_are_those_of_self_play(studio):
    """One by one as in a chat, against the whole dialogue as in self-play."""
    bot, rewards = studio.bot, studio.rewards
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
    found = [rewards.reply(Dialogue(OWN, [], spoken[: 2 * n + 1]), SAID[n][1]) for n in range(3)]
    torch.testing.assert_close(torch.tensor([f["style"] for f in found]), style)
    torch.testing.assert_close(torch.tensor([f["coherence"] for f in found]), coherence)
    exchanges = [Exchange(*pair) for pair in SAID]
    later = rewards.later(exchanges, OWN, PARTNER)
    assert later == {"persona": pytest.approx(persona.tolist())}
    whole = {"style": -1.0, "coherence": -2.0, "persona": 3.0}
    assert rewards.total(whole) == pytest.approx(0.4 * -1 + 0.1 * -2 + 0.5 * 3)
    assert rewards.total({"style": -1.0}) is None


def test_a_reply_grows_and_is_rewarded(studio):
    talk = studio.talk([], OWN)
    assert finish(talk.say("i have two dogs .")) >= 2
    you, answer = talk.lines
    assert (you.text, you.rewards) == ("i have two dogs .", {})
    assert set(answer.rewards) == ALL
    assert answer.text == studio.bot.conversation(OWN, seed=studio.seed).reply(you.text)
    assert talk.shown[SECOND].sentences == OWN
    assert talk.shown[SECOND].relevance == studio.bot.relevance([answer.text], OWN)
    impression = studio.bot.impression([you.text], studio.bank)
    assert talk.shown[FIRST].impression == impression
    assert talk.shown[FIRST].sentences == [found.sentence for found in impression]


def test_later_turns_change_the_perception_of_earlier_ones(studio):
    talk = studio.talk(PARTNER, OWN)
    finish(talk.say("i play the guitar"))
    first = dict(talk.lines[1].rewards)
    finish(talk.say("i work as a nurse"))
    later = talk.lines[1].rewards
    assert later["persona"] != first["persona"]
    assert (later["style"], later["coherence"]) == (first["style"], first["coherence"])
    said = [Exchange(talk.lines[n].text, talk.lines[n + 1].text) for n in (0, 2)]
    assert later["persona"] == studio.rewards.later(said, OWN, PARTNER)["persona"][0]


def test_two_bots(studio):
    talk = studio.talk(OWN, PARTNER, duet=True)
    finish(talk.go_on(2))
    assert [line.speaker for line in talk.lines] == [FIRST, SECOND] * 2
    assert all(set(line.rewards) == ALL for line in talk.lines)
    said = [line.text for line in talk.lines]
    for who in (FIRST, SECOND):
        heard = [turn.text for turn in talk.minds[who].turns if turn.speaker == "partner"]
        assert heard == [in_one_line(text) for text in said[1 - who :: 2] if text][: len(heard)]
    assert talk.minds[SECOND].persona == tuple(PARTNER)
    with pytest.raises(Refused, match="3 replies"):
        finish(talk.go_on(2))
    saved = json.loads(json.dumps(talk.to_json()))
    assert (saved["format"], saved["persona"]) == ("p2bot-chat-1", PARTNER)
    assert [turn["text"] for turn in saved["turns"]] == said
    assert saved["turns"][1]["rewards"] == talk.lines[1].rewards
    assert saved["perceived"]["bot"]["sentences"] == PARTNER


def test_one_reply_at_a_time_and_it_can_be_stopped(studio):
    talk = studio.talk([], OWN)
    steps = talk.say("hello")
    next(steps)
    with pytest.raises(Refused, match="not finished"):
        finish(talk.say("are you there ?"))
    steps.close()  # before the first word
    assert talk.lines == []
    steps = talk.say("hello")
    next(steps), next(steps)
    steps.close()
    assert [line.speaker for line in talk.lines] == [FIRST, SECOND]
    assert talk.lines[1].text == talk.minds[SECOND].turns[-1].text
    finish(talk.say("go on"))
    assert set(talk.lines[-1].rewards) == ALL
