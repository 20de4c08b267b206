"""The searches as tensors against ParlAI's, one object a row."""

from functools import partial

import pytest
import torch
from parlai.core import torch_generator_agent as stock
from torch._subclasses.fake_tensor import FakeTensorMode

from p2bot_parlai.agents.stock_searches import RowByRow
from p2bot_parlai.method.searches import TensorSearch, beam, greedy, nucleus, top_k

START, EOS, PAD, V = 5, 1, 0, 9
CPU = torch.device("cpu")
WAYS = {
    "greedy": (greedy, stock.GreedySearch, ()),
    "beam": (beam, stock.BeamSearch, ()),
    "topk": (partial(top_k, k=4), stock.TopKSampling, (4,)),
    "nucleus": (partial(nucleus, p=0.8), stock.NucleusSampling, (0.8,)),
}


def predictions(shape, ties: bool):
    """Log-probabilities (R, B, K, V), among which ends are frequent; START is never said."""
    logits = 3 * torch.randn(*shape, V)
    logits[..., EOS] += 2
    logits[..., START] = -1e4
    return logits.round() if ties else logits.log_softmax(dim=-1)


def pair(way: str, shape, least: int, penalty: float):
    longest, rows, size = shape
    choose, kind, own = WAYS[way]
    ours = TensorSearch(choose, shape, START, EOS, least, penalty, CPU)
    given = {"min_length": least, "length_penalty": penalty, "padding_token": PAD}
    given |= {"bos_token": START, "eos_token": EOS}
    return ours, RowByRow(kind(*own, size, **given) for _ in range(rows))


def run(search, predicted):
    """What each step says, of the rows that are left, and the finished hypotheses."""
    torch.manual_seed(0)
    rows, steps = torch.arange(predicted.shape[1]), []
    for step, log_p in enumerate(predicted):
        log_p = log_p[rows] if step else log_p[rows, :1]
        tokens, parents, done = search.advance(log_p.clone(), rows)
        steps.append((rows.tolist(), tokens.tolist(), parents.tolist(), done.tolist()))
        rows = rows[~done]
        if not len(rows):
            break
    finished = search.finished()
    return steps, [[(h.tokens.tolist(), float(h.score)) for h in row] for row in finished]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_steps_hypotheses_and_scores(way, ties):
    unfinished = several = 0
    for seed in range(24):
        torch.manual_seed(seed)
        draw = lambda low, high: int(torch.randint(low, high, ()))  # noqa: E731
        size = 1 if way == "greedy" else draw(1, 5)
        shape = (draw(1, 8), draw(1, 5), size)
        least, penalty = draw(0, 4), (0.0, 0.65, 2.0)[seed % 3]
        ours, theirs = pair(way, shape, least, penalty)
        predicted = predictions(shape, ties)
        found, expected = run(ours, predicted), run(theirs, predicted)
        assert found == expected, seed
        several += any(len(row) > size for row in found[1])
        unfinished += any(len(row) == 1 and len(row[0][0]) == shape[0] + 1 for row in found[1])
    assert unfinished and (several or way != "beam")


@pytest.mark.parametrize("way", ["greedy", "beam"])
def test_a_hypothesis_of_unknown_score_ends_too(way):
    for seed in range(8):
        torch.manual_seed(seed)
        shape = (6, 2, 1 if way == "greedy" else 2)
        predicted = predictions(shape, ties=False)
        predicted[1, 0] = torch.nan
        ours, theirs = pair(way, shape, 0, 0.65)
        assert repr(run(ours, predicted)) == repr(run(theirs, predicted))


def test_scores_by_hand():
    """Two hypotheses of 1 and 2 tokens, [EOS] included; the longer goes on from the second."""
    search = TensorSearch(beam, (3, 1, 2), START, EOS, 0, 2.0, CPU)
    never = torch.full((2, V), -50.0)
    first, second = never.clone(), never.clone()
    first[0, EOS], first[0, 7] = -1.0, -2.0
    second[1, EOS], second[1, 8] = -0.25, -3.0
    assert not search.advance(first[None, :1], torch.tensor([0])).done
    tokens, parents, done = search.advance(second[None], torch.tensor([0]))
    assert (tokens.tolist(), parents.tolist(), done.tolist()) == ([[EOS, 8]], [[1, 1]], [True])
    (shorter, longer) = search.finished()[0]
    assert longer.tokens.tolist() == [START, 7, EOS]
    assert float(longer.score) == pytest.approx(-2.25 / (4 / 6) ** 2)
    assert shorter.tokens.tolist() == [START, EOS]
    assert float(shorter.score) == pytest.approx(-1 / (3 / 6) ** 2)


@pytest.mark.parametrize("way", WAYS)
def test_a_step_does_not_wait_for_the_device(way):
    """A fake tensor has no values: to ask for one raises."""
    shape = (3, 4, 1 if way == "greedy" else 2)
    with FakeTensorMode():
        search = TensorSearch(WAYS[way][0], shape, START, EOS, 2, 0.65, CPU)
        for log_p in predictions(shape, ties=False):
            search.advance(log_p, torch.arange(4))
