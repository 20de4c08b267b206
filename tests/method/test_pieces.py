"""Rows in pieces, and packed turns in several layouts."""

import pytest
import torch
from turns import MARKS, TURNS

from p2bot_parlai.method.layout import pack, pack_in_pieces
from p2bot_parlai.method.pieces import pieces, tokens_that_fit


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (0, [[0, 1, 2, 3, 4]]),
        (100, [[1, 4, 2, 0, 3]]),
        (12, [[1, 4, 2], [0], [3]]),  # 3 x 4 = 12; 2 x 9 > 12; 13 > 12 alone
        (8, [[1, 4], [2], [0], [3]]),
        (1, [[1], [4], [2], [0], [3]]),
    ],
)
def test_pieces_by_hand(budget, expected):
    assert pieces([9, 2, 4, 13, 3], budget) == expected


def test_what_fits_a_memory_by_hand():
    # a layer has 12 * 2 * 2 = 48 of 96 parameters: two of them, of 17 vectors of 2 numbers each,
    # and 3 * 5 of the vocabulary: 4 * (68 + 15) = 332 bytes a token
    # half of 10,000 bytes less 1,536 for the weights is 3,464: 10 tokens
    assert tokens_that_fit(10_000, 1536, 96, 2, 5) == 10
    assert tokens_that_fit(100, 1536, 96, 2, 5) == 1  # less than the weights need


def test_no_rows_are_no_pieces():
    assert pieces([], 0) == pieces([], 5) == []


@pytest.mark.parametrize("budget", [1, 30, 60, 1000])
def test_layouts_of_pieces_hold_the_rows_of_the_whole(budget):
    whole, found = pack(TURNS, MARKS), pack_in_pieces(TURNS, MARKS, budget)
    numbers = [number for turns, _ in found for number in turns]
    assert sorted(numbers) == list(range(len(TURNS)))
    assert sum(len(layout.inputs) for _, layout in found) == len(whole.inputs)
    assert all(len(layout.inputs) == 1 or layout.inputs.numel() <= budget for _, layout in found)
    for turns, layout in found:
        for row, number in enumerate(turns):
            response = torch.tensor(TURNS[number].response)
            assert torch.equal(layout.targets[row][layout.target_mask[row]], response)
