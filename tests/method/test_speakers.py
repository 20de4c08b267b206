"""Caches that live across turns against reading everything anew; and sampling."""

import copy

import naive
import pytest
import torch
from fake_device import fake_cuda

from p2bot_parlai.method.context import Dialogue, build_context
from p2bot_parlai.method.selfplay import persona_heads
from p2bot_parlai.method.speakers import Speakers, draw

PERSONAS = [["i live in Bern.", "i own a cat."], ["i eat soup every day."], ["i am a judge."]]
SAID = [
    ["hello , where do you live ?", "hi", "i own a cat . and you ?"],
    ["what do you eat ?", "do you work as a baker or as a judge or as a nurse in Oslo ?", "hm"],
    ["yes", "no", "do you own a pet ?"],
]


@pytest.fixture(scope="module")
def trained(bot):
    network = bot.network.eval()
    return network, bot.dict.p2bot


def people(trained, limit=200, history_size=-1):
    network, tokenizer = trained
    return Speakers(network, tokenizer, persona_heads(PERSONAS, tokenizer), limit, history_size)


@torch.no_grad()
@pytest.mark.parametrize("limit, history_size", [(500, -1), (500, 1), (50, -1)])
def test_states_are_those_of_the_context(trained, limit, history_size):
    """Also with a short history, and where old turns are dropped."""
    network, tokenizer = trained
    side = people(trained, limit, history_size)
    generator = torch.Generator().manual_seed(0)
    for said in SAID:
        side.hear(said)
        start = torch.full((3, 1), tokenizer.self_)
        hidden, _ = network.extend(side.states(), start, torch.ones_like(start, dtype=torch.bool))
        found = network.output(hidden[:, -1])
        for row, context in enumerate(side.contexts()):
            expected = network.output(naive.read(network.backbone, [*context, tokenizer.self_])[-1])
            torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=0)
        side.sample(torch.rand(len(SAID), 7, generator=generator))


def test_an_empty_reply_is_no_turn(trained):
    """As in a chat."""
    side, chat = people(trained), Dialogue(PERSONAS[0])
    for text in ("hello", "", "hi"):
        side.hear([text, "yes", "no"])
        chat.hear(text)
    assert side.contexts()[0] == build_context(chat, trained[1]).ids


# ------------------------------------------------------------------------- sampling
@pytest.mark.parametrize("uniform", [0.0, 0.999])
def test_a_token_is_waited_for_once(trained, uniform):
    """On a GPU: the words, as they are drawn."""
    network, tokenizer = copy.deepcopy(trained[0]), trained[1]
    waited = []
    with fake_cuda() as waits:
        network.cuda()
        for longest in (3, 7):
            side = people((network, tokenizer))
            side.states()
            waits.clear()
            side.sample(torch.full((3, longest), uniform))
            waited.append(waits.total())
    assert waited[1] - waited[0] == 4


def test_draw_by_hand():
    # cumulative 0.2, 0.7, 1: 0.19 is the first token, 0.2 and 0.69 the second, 0.7 the third
    log_p = torch.tensor([[0.2, 0.5, 0.3]]).log().expand(4, 3)
    assert draw(log_p, torch.tensor([0.19, 0.2001, 0.69, 0.7001])).tolist() == [0, 1, 1, 2]


def ending(network, tokenizer):
    """Its vocabulary logits, with [EOS] about one token in four."""
    output = network.output

    def logits(hidden):
        found = output(hidden)
        likely = found.logsumexp(dim=-1) - 1 + hidden[..., 0].sin()
        return found.index_copy(-1, torch.tensor([tokenizer.eos]), likely[..., None])

    return logits


@torch.no_grad()
def test_who_has_ended_leaves_the_batch(trained, monkeypatch):
    """Rows are computed as long as they speak; the next turn finds them all again."""
    network, tokenizer = trained
    monkeypatch.setattr(network, "output", ending(network, tokenizer))
    extend, rows = network.extend, []
    monkeypatch.setattr(
        network, "extend", lambda s, ids, v: rows.append(len(ids)) or extend(s, ids, v)
    )
    side = people(trained, limit=500)
    generator = torch.Generator().manual_seed(2)
    lengths = []
    for said in SAID:
        side.hear(said)
        side.states()
        contexts = side.contexts()
        rows.clear()
        responses, scores = side.sample(torch.rand(3, 20, generator=generator))
        lengths.append([len(response) for response in responses])
        longest = max(lengths[-1])
        assert rows == [sum(n > step for n in lengths[-1]) for step in range(longest)]
        for row, (context, response) in enumerate(zip(contexts, responses, strict=True)):
            log_p = naive.log_p(network, [*context, tokenizer.self_], response)
            torch.testing.assert_close(scores[row, : len(response)], log_p, atol=1e-5, rtol=0)
            assert not scores[row, len(response) :].any()
            assert tokenizer.eos not in response[:-1]
    assert any(len(set(turn)) == 3 for turn in lengths)  # they ended at different times


def test_an_empty_response_is_a_response(trained, monkeypatch):
    """A model that ends at once says nothing, and the dialogue continues."""
    network, tokenizer = trained
    vocabulary = torch.arange(len(tokenizer))
    monkeypatch.setattr(
        network,
        "output",
        lambda hidden: 100.0 * (vocabulary == tokenizer.eos).expand(*hidden.shape[:-1], -1),
    )
    side = people(trained)
    for said in SAID:
        side.hear(said)
        assert side.sample(torch.rand(3, 4))[0] == [[tokenizer.eos]] * 3
