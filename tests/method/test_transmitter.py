"""Eq. 1-3 by hand, and every fast way of the Transmitter against the plain one."""

import math

import naive
import pytest
import torch

from p2bot_parlai.method import transmitter
from p2bot_parlai.method.context_style import APPEND, SPECIAL_TOKENS
from p2bot_parlai.method.layout import lay_out

MARKS = APPEND.with_ids(SPECIAL_TOKENS.index)
SELF, EOS, CLS, PAD = MARKS.self_, MARKS.eos, MARKS.cls, MARKS.pad


def close(value, expected, tolerance=1e-6):
    return torch.testing.assert_close(
        torch.as_tensor(value), torch.as_tensor(expected), atol=tolerance, rtol=0
    )


# ------------------------------------------------------------------ the equations
def test_eq_1_by_hand():
    # Two tokens of a vocabulary of three, logits that are log-probabilities:
    # p(x_1 = 2) = 0.5, p(x_2 = 0) = 0.25, so log p(x) = log 0.125.
    logits = torch.tensor([[[0.25, 0.25, 0.5], [0.25, 0.7, 0.05], [0.1, 0.1, 0.8]]]).log()
    targets = torch.tensor([[2, 0, 0]])
    mask = torch.tensor([[True, True, False]])  # the third is padding
    scores = transmitter.token_log_likelihood(logits, targets)
    close(scores, [[math.log(0.5), math.log(0.25), math.log(0.1)]])
    close(transmitter.log_likelihood(scores, mask), [math.log(0.125)])
    # Eq. 2: divided by the two real tokens
    close(transmitter.length_normalised(scores, mask), [math.log(0.125) / 2])


def test_values_go_back_to_their_places():
    mask = torch.tensor([[True, False, True], [False, True, False]])
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    back = transmitter.scatter_to_mask(values, mask)
    assert back.tolist() == [[1, 0, 2], [0, 3, 0]]
    (back * torch.arange(6.0).view(2, 3)).sum().backward()
    assert values.grad.tolist() == [0, 2, 4]


def test_eq_3_by_hand():
    # alpha = 0.1: 0.1 * (-2) + 0.9 * log sigmoid(0) = -0.2 - 0.9 * log 2
    log_p_next = transmitter.log_next_utterance(torch.tensor([0.0]))
    close(
        transmitter.joint_score(torch.tensor([-2.0]), log_p_next, 0.1), [-0.2 - 0.9 * math.log(2)]
    )
    close(transmitter.joint_score(torch.tensor([-2.0]), log_p_next, 1.0), [-2.0])


def test_next_utterance_loss_of_several_distractors_by_hand():
    # the response as before; distractors with sigmoid(-s) = 3/4 and 1/2, a third is padding:
    # (log 4/3 + (log 4/3 + log 2) / 2) / 2
    score = torch.tensor([math.log(3.0)])
    wrong = torch.tensor([[-math.log(3.0), 0.0, 50.0]])
    mask = torch.tensor([[True, True, False]])
    expected = (math.log(4 / 3) + (math.log(4 / 3) + math.log(2)) / 2) / 2
    close(transmitter.next_utterance_loss(score, wrong, mask), [expected])


# ------------------------------------------------------- one primitive, many layouts
def test_cache_is_the_same_as_no_cache(model):
    ids = torch.randint(4, 30, (20,)).tolist()
    plain = naive.read(model.backbone, ids)
    states = model.encode_context(torch.tensor([ids[:8]]), torch.ones(1, 8, dtype=torch.bool))
    steps = []
    for token in ids[8:]:
        hidden, states = model.extend(
            states, torch.tensor([[token]]), torch.ones(1, 1, dtype=torch.bool)
        )
        steps.append(hidden[0, 0])
    close(torch.stack(steps), plain[8:], 1e-5)


@pytest.mark.parametrize("padding", ["left", "right", "middle"])
def test_padding_may_stand_anywhere(model, padding):
    ids = torch.randint(4, 30, (9,)).tolist()
    plain = naive.read(model.backbone, [*ids, 7, 8])
    valid = torch.ones(1, 12, dtype=torch.bool)
    at = {"left": 0, "right": 9, "middle": 4}[padding]
    valid[0, at : at + 3] = False
    padded = torch.full((1, 12), PAD)
    padded[valid] = torch.tensor(ids)
    states = model.encode_context(padded, valid)
    hidden, _ = model.extend(states, torch.tensor([[7, 8]]), torch.ones(1, 2, dtype=torch.bool))
    close(hidden[0], plain[-2:], 1e-5)


def test_responses_as_branches_are_the_same_as_one_by_one(model):
    torch.manual_seed(1)
    contexts = [torch.randint(4, 30, (n,)).tolist() for n in (7, 3, 5)]
    responses = [[[9, 10, EOS]], [[11, EOS], [12, 13, 14, 15, EOS], [EOS]], []]
    context = torch.tensor([c + [PAD] * (7 - len(c)) for c in contexts])
    branches = lay_out(responses, MARKS)
    hidden, scores = model.read(branches, model.encode_context(context, context != PAD))
    logits = model.output(hidden[branches.target_index])
    number = 0
    for before, own in zip(contexts, responses, strict=True):
        for response in own:
            hidden = naive.read(model.backbone, [*before, SELF, *response, CLS])
            start, end = len(before), len(before) + len(response)
            expected = model.backbone.logits(hidden[start:end])
            close(logits[number, : len(response)], expected, 1e-5)
            close(scores[number], model.next_utterance(hidden[-1]).squeeze(), 1e-5)
            assert branches.targets[number, : len(response)].tolist() == response
            assert branches.target_mask[number].sum() == len(response)
            number += 1
    assert number == len(scores) == 4


def test_an_empty_context_is_defined(model):
    states = model.encode_context(torch.tensor([[PAD]]), torch.zeros(1, 1, dtype=torch.bool))
    hidden, score = model.read(lay_out([[[9, EOS]]], MARKS), states)
    close(hidden, naive.read(model.backbone, [SELF, 9, EOS, CLS]), 1e-5)
    assert torch.isfinite(score).all()
