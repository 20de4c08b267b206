"""Replies of several conversations as one batch, and decoding that a conversation chooses."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from p2bot_parlai import P2Bot
from p2bot_parlai.chat.conversation import Utterance
from p2bot_parlai.chat.replies import Decoding
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.kv_cache import ContextMemory

PERSONAS = [["i like tea.", "i have two dogs."], ["i sing."], [], ["i work as a nurse."]]
SAID = ["hello", "do you have pets ?", "i like dogs too ."]
SAMPLED = {"inference": "multinomial"}


def load(model, **options):
    return P2Bot.load(model, raw_text=True, **options)


@pytest.fixture(scope="module")
def bot(tiny_model):
    return load(tiny_model, **SAMPLED)


def talks(bot, count, **given):
    return [bot.conversation(PERSONAS[n % 4], seed=n, **given) for n in range(count)]


def interview(talk):
    return [talk.reply(text) for text in SAID]


@pytest.mark.filterwarnings("ignore:no persona")
@pytest.mark.parametrize(
    "options",
    [
        SAMPLED,
        {},
        {"inference": "nucleus", "beam_block_ngram": 2, "block_said_before": 2},
        {"inference": "greedy"},
    ],
    ids=str,
)
def test_a_reply_is_the_same_whoever_shares_its_batch(tiny_model, options):
    bot = load(tiny_model, **options)
    alone = [interview(talk) for talk in talks(bot, 6)]
    with bot.speaker.together(), ThreadPoolExecutor(6) as pool:
        assert list(pool.map(interview, talks(bot, 6))) == alone
    assert interview(talks(bot, 1)[0]) == alone[0], "alone again"


@pytest.mark.filterwarnings("ignore:no persona")
def test_batches_hold_what_waits_and_is_decoded_alike(bot, monkeypatch):
    network, gate, rows = bot.speaker.agent.network, threading.Event(), []

    def step(states, *rest, step=network.step):
        rows.append(len(states.valid))
        gate.wait(60)
        return step(states, *rest)

    monkeypatch.setattr(network, "step", step)
    with bot.speaker.together():
        asked, grow = [], bot.speaker.batching.grow
        monkeypatch.setattr(
            bot.speaker.batching, "grow", lambda one: asked.append(one) or grow(one)
        )
        with ThreadPoolExecutor(9) as pool:
            found = [pool.submit(bot.conversation(PERSONAS[0], seed=9).reply, "hello")]
            while not rows:  # it is being decoded; the others wait
                time.sleep(0.001)
            greedy = talks(bot, 2, decoding=Decoding(temperature=0))
            found += [pool.submit(talk.reply, "hello") for talk in [*greedy, *talks(bot, 6)]]
            while len(asked) < 9:
                time.sleep(0.001)
            time.sleep(0.05)
            gate.set()
            assert all(one.result() is not None for one in found)
    changes = [after for before, after in zip([0, *rows], rows, strict=False) if after > before]
    assert rows[0] == 1 and sorted(changes) == [1, 2, 6]


def test_what_fails_is_told_to_who_asked_and_the_next_reply_works(bot, monkeypatch):
    with bot.speaker.together():
        talk = bot.conversation(PERSONAS[0], seed=1)
        monkeypatch.setattr(ContextMemory, "read", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            talk.reply("hello")
        monkeypatch.undo()
        assert talk.turns == [] and talk.reply("hello")
        batching = bot.speaker.batching
    with pytest.raises(P2botError, match="is stopping"):
        list(batching.grow(None))
    with pytest.raises(KeyError), bot.speaker.together():
        raise KeyError
    assert talk.reply("hello"), "alone again"


def test_a_stream_that_is_closed_leaves_the_batch(bot):
    with bot.speaker.together():
        talk = bot.conversation(PERSONAS[0], seed=2)
        stream = talk.stream("hello")
        given = next(stream)
        stream.close()
        assert talk.turns == [("partner", "hello"), ("bot", given)]
        assert talk.reply("are you there ?") and len(talk.turns) == 4


def test_what_is_being_said_is_finished_at_the_end(bot, monkeypatch):
    expected = bot.conversation(PERSONAS[0], seed=8).reply("hello")
    begun, step = threading.Event(), bot.speaker.agent.network.step
    slow = lambda *given: begun.set() or time.sleep(0.01) or step(*given)  # noqa: E731
    monkeypatch.setattr(bot.speaker.agent.network, "step", slow)
    with ThreadPoolExecutor(1) as pool:
        with bot.speaker.together():
            reply = pool.submit(bot.conversation(PERSONAS[0], seed=8).reply, "hello")
            assert begun.wait(60)
        assert reply.result() == expected


# --------------------------------------------------------------------------------- decoding
@pytest.mark.parametrize(
    "decoding, options",
    [
        (Decoding(temperature=0), {"inference": "greedy"}),
        (Decoding(temperature=0.5), {"inference": "nucleus", "topp": 1.0, "temperature": 0.5}),
        (Decoding(top_p=0.8), {"inference": "nucleus", "topp": 0.8}),
        (Decoding(max_tokens=3), {"label_truncate": 4}),
    ],
    ids=str,
)
def test_a_conversation_decodes_as_it_is_told(tiny_model, decoding, options):
    # several hypotheses and a least length are of the search that the server was started with
    asked = load(tiny_model, beam_size=2).conversation(PERSONAS[0], seed=3, decoding=decoding)
    loaded = load(tiny_model, **options).conversation(PERSONAS[0], seed=3)
    assert interview(asked) == interview(loaded)
    read, written = asked.usage
    assert read > 10 and 0 < written <= (decoding.max_tokens or 23)


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"max_tokens": 0}])
def test_decoding_is_checked(wrong):
    with pytest.raises(P2botError, match=next(iter(wrong))):
        Decoding(**wrong)


def test_a_conversation_goes_on_from_turns(bot):
    first = bot.conversation(PERSONAS[0], seed=1)
    first.reply(SAID[0])
    going_on = bot.conversation(PERSONAS[0], turns=first.turns, decoding=Decoding(temperature=0))
    assert going_on.turns == first.turns
    first._decoding = Decoding(temperature=0)
    assert going_on.reply(SAID[1]) == first.reply(SAID[1])
    opened = bot.conversation([], turns=[Utterance("bot", "hello\nyou")])
    assert opened.turns == [("bot", "hello you")]
