"""Conversations at once: none is mixed up, none is lost, and a flood is not theirs to bear."""

import asyncio
from pathlib import Path

import pytest
from serving import serving

from p2bot_parlai.chat.api import P2Bot


@pytest.fixture
def web_load(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench"))
    import web_load

    return web_load


def test_many_conversations_at_once(tiny_model, tiny_receiver, web_load):
    bot = P2Bot.load(tiny_model, receiver=tiny_receiver, inference="multinomial")
    with serving(bot, visitors=20) as (address, _):
        found = asyncio.run(web_load.load(address, conversations=8, seconds=6, thinking=0.5))
    assert found["errors"] == [] and found["mixed_up_or_lost"] == []
    assert found["fewest"] >= 1 and found["answers"] >= 8
    assert found["during_the_flood"]["answers"] >= 1
    # of the flood its burst of 10 got through, then one a second, until those that were held
    # back for 10 seconds at most had their turn
    assert found["flood"].get(200, 0) <= 10 + 6 + 10
    assert found["flood"][429] > 0


def test_what_is_mixed_up_is_found(tiny_model, web_load):
    bot = P2Bot.load(tiny_model, inference="greedy")

    async def swapped(address):
        event = await web_load.event_of(address)
        browsers = [web_load.Browser(address, number, event) for number in range(2)]
        for browser in browsers:
            await browser.open()
            await browser.say(f"i am {browser.session}", web_load.Found())
        first, second = browsers
        first.said, second.said = second.said, first.said
        return [await browser.check() for browser in browsers]

    with serving(bot) as (address, _):
        first, second = asyncio.run(swapped(address))
    assert "i am visitor0" in first[0] and "i am visitor1" in second[0]
