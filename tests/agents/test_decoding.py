"""Our decoding loop against ParlAI's own: same searches, same hypotheses, same scores."""

import copy

import pytest
import torch
from asking import PERSONA, QUESTIONS
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message
from parlai.core.torch_generator_agent import TorchGeneratorAgent
from torch import nn

from p2bot_parlai.agents.stock_searches import BEAM_SEARCHES, tree_search

WAYS = [
    {"inference": "greedy"},
    {"inference": "greedy", "beam_block_ngram": 1},
    {"inference": "beam", "beam_size": 1},
    {"inference": "beam", "beam_size": 3, "beam_length_penalty": 2.0},
    {"inference": "beam", "beam_size": 3, "beam_block_ngram": 2, "beam_context_block_ngram": 2},
    {"inference": "beam", "beam_size": 4, "beam_min_length": 6, "temperature": 0.5},
    {"inference": "topk", "topk": 5},
    {"inference": "topk", "topk": 5, "beam_size": 3},
    {"inference": "nucleus", "topp": 0.8},
    {"inference": "delayedbeam", "beam_size": 2, "beam_delay": 2},
    {"inference": "multinomial"},
]


class Stock(nn.Module):
    """What the stock loop asks of a model: one row a hypothesis, a cache for each."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def encoder(self, states):
        return states

    def decoder(self, tokens, states, incremental):
        newest = tokens[:, -1:]
        there = torch.ones_like(newest, dtype=torch.bool)
        return self.network.extend(incremental or states, newest, there)

    def output(self, hidden):
        return self.network.output(hidden)

    def reorder_encoder_states(self, states, rows):
        return states.select(rows)

    reorder_decoder_incremental_state = reorder_encoder_states


def stock(agent):
    """The same agent with ParlAI's loop, and its searches where it has them."""
    other = copy.copy(agent)
    other.model = Stock(agent.network)
    other._encoder_input = lambda batch: (batch.p2bot.states,)
    other._rerank_beams = lambda batch, finished: reranked(agent, batch, finished)
    other._generate = lambda *args: TorchGeneratorAgent._generate(other, *args)
    other.opt = {**agent.opt, "beam_size": agent.beam_size}
    if agent.opt["inference"] == "multinomial":
        other._treesearch_factory = lambda *_, **__: tree_search(agent.opt, 1, agent.dict, "cpu")
    return other


def reranked(agent, batch, finished):
    if agent.opt["inference"] not in BEAM_SEARCHES:
        return finished
    found = []
    for row, hypotheses in enumerate(finished):
        states = batch.p2bot.states.select(torch.tensor([row]))
        responses = [tokens[1:].tolist() for tokens, _, _ in hypotheses]
        (scores,) = agent.responder.score(states, [responses], "both")
        order = scores.argsort(descending=True, stable=True).tolist()
        found.append([(hypotheses[i][0], scores[i], hypotheses[i][2]) for i in order])
    return found


def make(tiny_model, ends: bool, **options):
    """:param ends: whether responses often end, at different lengths."""
    override = {"loglevel": "error", "override": options, **options}
    agent = create_agent_from_model_file(tiny_model, override)
    agent.model.eval()
    if ends:
        output, eos = agent.network.output, agent.END_IDX
        rivals = options.get("topk", len(agent.dict))

        def ending(hidden):
            """About one token in six is [EOS], behind some words more often than others."""
            logits = output(hidden)
            likely = logits.topk(rivals).values.logsumexp(dim=-1) - 1.6 + hidden[..., 0].sin()
            return logits.index_copy(-1, torch.tensor([eos]), likely[..., None])

        agent.network.output = ending
    return agent


@torch.no_grad()
def batch_of(agent, texts):
    clones = [agent.clone() for _ in texts]
    seen = [
        clone.observe(Message({"text": text, "episode_done": True}))
        for clone, text in zip(clones, texts, strict=True)
    ]
    batch = agent.batchify(seen)
    valid = batch.text_vec != agent.NULL_IDX
    batch.p2bot.states = agent.network.encode_context(batch.text_vec, valid)
    return batch


def texts():
    return [(PERSONA if i % 2 else "") + question for i, question in enumerate(QUESTIONS)]


def check_the_same(agent, batch, longest=24):
    found = []
    with torch.no_grad():
        for one in (agent, stock(agent)):
            torch.manual_seed(0)
            found.append(one._generate(batch, agent.beam_size, longest))
    (best, searches), (stock_best, stock_searches) = found
    for (tokens, score, _), (expected, expected_score, _) in zip(best, stock_best, strict=True):
        assert tokens.tolist() == expected.tolist()
        torch.testing.assert_close(score, expected_score, atol=1e-5, rtol=1e-5)
    for search, expected in zip(searches, stock_searches, strict=True):
        ours, theirs = search.get_rescored_finished(), expected.get_rescored_finished()
        assert [t.tolist() for t, _, _ in ours] == [t.tolist() for t, _, _ in theirs]
        for (_, score, _), (_, expected_score, _) in zip(ours, theirs, strict=True):
            torch.testing.assert_close(score, expected_score, atol=1e-5, rtol=1e-5)
    return [len(tokens) for tokens, _, _ in best]


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("options", WAYS, ids=str)
def test_the_same_as_the_stock_loop(tiny_model, options, ends):
    agent = make(tiny_model, ends, **options)
    lengths = check_the_same(agent, batch_of(agent, texts()))
    if ends and options["inference"] in ("topk", "nucleus", "multinomial"):
        assert len(set(lengths)) > 2


def test_so_are_details_of_tokens(tiny_model):
    agent = make(tiny_model, True, inference="beam", beam_size=3)
    agent.show_token_details = True
    batch = batch_of(agent, texts())
    with torch.no_grad():
        ours = agent._generate(batch, 3, 24)[0]
        theirs = stock(agent)._generate(batch, 3, 24)[0]
    for (_, _, details), (_, _, expected) in zip(ours, theirs, strict=True):
        assert [d["token_rank"] for d in details] == [d["token_rank"] for d in expected]


def test_phrases_are_blocked(tiny_model, tmp_path):
    agent = make(tiny_model, False, inference="greedy")
    batch = batch_of(agent, texts())
    said = agent.dict.vec2txt(agent._generate(batch, 1, 24)[0][0][0])
    agent.beam_block_list.add(said.split()[0])
    check_the_same(agent, batch)


def test_rows_that_are_done_are_not_computed(tiny_model, monkeypatch):
    agent = make(tiny_model, True, inference="topk", topk=5)
    batch, rows = batch_of(agent, texts()), []
    step = agent.network.step
    monkeypatch.setattr(
        agent.network, "step", lambda s, ids, seen: rows.append(len(ids)) or step(s, ids, seen)
    )
    torch.manual_seed(0)
    best, _ = agent._generate(batch, 1, 24)
    lengths = torch.tensor([len(tokens) - 1 for tokens, _, _ in best])
    assert len(set(lengths.tolist())) > 2
    assert rows == [int((lengths > n).sum()) for n in range(int(lengths.max()))]


def test_the_cache_is_not_multiplied_by_the_beam_size(tiny_model, monkeypatch):
    agent = make(tiny_model, False, inference="beam", beam_size=4)
    batch, sizes = batch_of(agent, texts()), []
    step = agent.network.step
    monkeypatch.setattr(
        agent.network,
        "step",
        lambda states, *given: sizes.append(len(states.valid)) or step(states, *given),
    )
    agent._generate(batch, 4, 24)
    assert max(sizes) == len(texts())
