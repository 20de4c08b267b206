"""log p(x) of responses behind an empty context."""

import naive
import pytest
import torch

from p2bot_parlai.method.context_style import APPEND, SPECIAL_TOKENS
from p2bot_parlai.method.read_alone import ReadAlone

MARKS = APPEND.with_ids(SPECIAL_TOKENS.index)
RESPONSES = [[*range(7, 9 + n), MARKS.eos] for n in range(10)]


@torch.no_grad()
def test_each_response_is_read_once_while_the_weights_stay(model, monkeypatch):
    alone, read = ReadAlone(model, MARKS), []

    def counted(layout, *states, stock=model.read):
        read.append(len(layout.targets))
        return stock(layout, *states)

    def by_hand():
        return [naive.log_p(model, [MARKS.self_], ids).sum().item() for ids in RESPONSES]

    monkeypatch.setattr(model, "read", counted)
    twice = [*RESPONSES, RESPONSES[0]]
    assert alone(twice).tolist() == pytest.approx([*by_hand(), by_hand()[0]], abs=1e-5)
    alone(RESPONSES)
    assert read == [len(RESPONSES)]
    before = by_hand()
    for weight in model.parameters():
        weight.mul_(1.5)
    assert alone(RESPONSES).tolist() == pytest.approx(by_hand(), abs=1e-4) != before
