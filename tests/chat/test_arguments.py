"""Every argument of the Python API is checked where it comes in, and devices and copies work."""

import copy
import pickle

import numpy as np
import pytest
import torch

from p2bot_parlai import P2Bot
from p2bot_parlai.errors import P2botError

PERSONA = ["i like tea.", "i have two dogs."]
SAID = ["hello", "do you have pets ?"]


@pytest.fixture(scope="module")
def bot(tiny_model, tiny_receiver):
    given = {"persona": PERSONA, "receiver": tiny_receiver, "seed": 1, "label_truncate": 8}
    return P2Bot.load(tiny_model, inference="multinomial", device="cpu", **given)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda bot: bot.rank("hi", "hello there"), "candidates .*'hello there'"),
        (lambda bot: bot.rank("hi", ["hello", 3]), r"candidates\[1\] .* int 3"),
        (lambda bot: bot.rank("hi", None), "candidates .* NoneType"),
        (lambda bot: bot.rank(3, ["hello"]), "context .* int 3"),
        (lambda bot: bot.rank(["hi", None], ["hello"]), r"context\[1\]"),
        (lambda bot: bot.impression("i run .", PERSONA), "utterances .*'i run .'"),
        (lambda bot: bot.impression(["i run ."], "i run."), "bank .*'i run.'"),
        (lambda bot: bot.impression(["i run ."], PERSONA, top="3"), "top .* str '3'"),
        (lambda bot: bot.impression(["i run ."], PERSONA, top=True), "top .* bool True"),
        (lambda bot: bot.relevance("i run .", PERSONA), "utterances"),
        (lambda bot: bot.relevance(SAID, {"i run.": 1}), "persona .* dict"),
        (lambda bot: bot.perceive("i run .", "a|b"), r"persona .*'a\|b'"),
        (lambda bot: bot.perceive(["i run ."], PERSONA), "utterance .* list"),
        (lambda bot: bot.reply(3), "utterance .* int 3"),
        (lambda bot: bot.reply(0), "utterance .* int 0"),
        (lambda bot: bot.stream(b"hi"), "utterance .* bytes"),
        (lambda bot: bot.conversation("i run."), "persona .*'i run.'"),
        (lambda bot: bot.conversation([None]), r"persona\[0\] .* NoneType"),
        (lambda bot: bot.conversation((), "i run."), "partner_persona"),
        (lambda bot: bot.conversation(seed="3"), "seed .* str '3'"),
        (lambda bot: bot.conversation(seed=1.5), "seed .* float 1.5"),
        (lambda bot: setattr(bot, "persona", "a|b"), "persona"),
        (lambda bot: setattr(bot, "partner_persona", 3), "partner_persona .* int 3"),
        (lambda bot: P2Bot.load(None), "model_file .* NoneType"),
        (lambda bot: P2Bot.load("m", receiver=3), "receiver .* int 3"),
        (lambda bot: P2Bot.load("m", datapath=3), "datapath .* int 3"),
        (lambda bot: P2Bot.load("m", persona="a|b"), "persona"),
        (lambda bot: P2Bot.load("m", device=3), "device .* int 3"),
        (lambda bot: P2Bot.load("m", raw_text="true"), "raw_text .* str 'true'"),
    ],
)
def test_a_wrong_type_is_named(bot, call, message):
    before = bot.persona, bot.turns
    with pytest.raises(TypeError, match=message):
        call(bot)
    assert (bot.persona, bot.turns) == before


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda bot: bot.rank("hi", []), "candidates is empty"),
        (lambda bot: bot.conversation(seed=-1), "seed=-1"),
        (lambda bot: P2Bot.load("m", device="gpu"), "device='gpu' is unknown"),
        (lambda bot: P2Bot.load("m", device="meta"), "device='meta' is unknown"),
        (lambda bot: P2Bot.load("m", device="cuda:99"), "'cuda:99' is not there.*finds: "),
        (lambda bot: P2Bot.load("m", device=torch.device("cuda", 99)), "'cuda:99' is not there"),
        (lambda bot: P2Bot.load("m", gpu=3), r"gpu=3.*device="),
        (lambda bot: P2Bot.load("m", no_cuda=True), "no_cuda=True.*device="),
    ],
)
def test_a_wrong_value_is_named(bot, call, message):
    with pytest.raises(P2botError, match=message):
        call(bot)


def test_what_is_like_a_list_or_a_number_is_taken(bot, tiny_model):
    answers = ("i like tea .", "i run .")
    first = bot.rank(("hello",), answers)
    assert bot.rank("hello", np.array(answers)) == bot.rank(iter(["hello"]), iter(answers)) == first
    assert bot.conversation(PERSONA, seed=np.int64(3)).reply("hello") == bot.conversation(
        iter(PERSONA), seed=3
    ).reply("hello")
    other = P2Bot.load(tiny_model, device=torch.device("cpu"), persona=iter(PERSONA))
    assert other.speaker.agent.device.type == "cpu" and other.persona == tuple(PERSONA)


def test_nothing_said_is_said_as_none(bot):
    opened = [bot.conversation(PERSONA, seed=2).reply(*said) for said in ((), ("",), (None,))]
    assert len(set(opened)) == 1


def test_a_persona_cannot_be_changed_behind_its_back(bot):
    with pytest.raises(AttributeError):
        bot.persona.append("i sing.")


def test_it_tells_what_it_is(bot, tiny_model):
    talk = bot.conversation(PERSONA[:1], seed=2)
    talk.reply("hello")
    assert repr(talk) == "<Conversation: persona of 1 sentence, 2 turns>"
    assert repr(bot) == f"<P2Bot {tiny_model} on cpu: persona of 2 sentences, 0 turns>"
    assert "no persona" in repr(bot.conversation())


def test_no_persona_is_said(bot):
    talk = bot.conversation()
    with pytest.warns(UserWarning, match="no persona"):
        talk.reply("hello")


@pytest.mark.parametrize("how", [copy.deepcopy, lambda bot: pickle.loads(pickle.dumps(bot))])
def test_copied_and_pickled_it_goes_on_alike(bot, how):
    talk = bot.conversation(PERSONA, seed=7)
    talk.reply(SAID[0])
    bot.perceive("i run .", PERSONA)
    other, twin = how(talk), how(bot)
    assert other.turns == talk.turns
    assert other.reply("[CLS] pets ?") == talk.reply("[CLS] pets ?")
    bot.reset()
    twin.reset()
    assert [twin.reply(text) for text in SAID] == [bot.reply(text) for text in SAID]
    assert twin.perceive("[CLS] tea .", PERSONA) == bot.perceive("[CLS] tea .", PERSONA)
    assert twin.rank(None, SAID) == bot.rank(None, SAID)


def test_in_the_middle_of_a_reply_it_is_not_pickled(bot):
    talk = bot.conversation(PERSONA, seed=7)
    stream = talk.stream("hello")
    next(stream)
    with pytest.raises(P2botError, match="still replying"):
        pickle.dumps(talk)
    stream.close()
