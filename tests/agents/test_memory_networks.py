"""The memories of Zhang et al. (2018), by hand."""

import math

import pytest
import torch

from p2bot_parlai.agents.memory_networks import (
    GenerativeProfileMemory,
    KeyValueProfileMemory,
    read_memory,
    weighted_sum,
    word_weights,
)

PAD, START, END = 0, 1, 2


def test_word_weights_by_hand():
    weights = word_weights([0, 1, 99])
    assert weights.tolist() == pytest.approx(
        [1, 1 / (1 + math.log(2)), 1 / (1 + math.log(100))], abs=1e-6
    )


def test_a_sentence_is_the_weighted_sum_of_its_words():
    embedded = torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]])
    assert weighted_sum(embedded, torch.tensor([0.5, 0.25, 0.0])).tolist() == [0.5, 0.5]


def test_reading_by_hand():
    scores = torch.tensor([[math.log(3), 0.0, 7.0]])
    mask = torch.tensor([[True, True, False]])
    values = torch.tensor([[4.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
    # softmax of (log 3, 0) is (3/4, 1/4); what is masked is not read, however it scores
    assert read_memory(scores, mask, values[None]).tolist() == [pytest.approx([3.0, 1.0])]
    assert read_memory(scores, mask, values).tolist() == [pytest.approx([3.0, 1.0])]
    assert read_memory(scores, mask & False, values).tolist() == [[0.0, 0.0]]  # nothing there


def generator() -> GenerativeProfileMemory:
    torch.manual_seed(0)
    return GenerativeProfileMemory(torch.linspace(1, 0.2, 12), 6, 8, 0.0, PAD, START, END).eval()


HISTORY = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])
PROFILE = torch.tensor([[[3, 4, 0], [5, 6, 7]], [[9, 0, 0], [0, 0, 0]]])
SAID = torch.tensor([[4, 5, 2], [6, 2, 0]])


def test_a_batch_is_its_rows_one_by_one():
    network = generator()
    together, _, _ = network(HISTORY, PROFILE, ys=SAID)
    alone, _, _ = network(HISTORY[1:, :2], PROFILE[1:, :1, :1], ys=SAID[1:, :2])
    torch.testing.assert_close(together[1:, :2], alone)


def test_the_history_is_read_as_torchs_lstm_reads_it():
    network = generator()
    cell = network.encoder.lstm
    lstm = torch.nn.LSTM(6, 8, batch_first=True)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    lstm.load_state_dict({f"{name}_l0": getattr(cell, name) for name in names})
    _, (h, c) = lstm(network.encoder.embed(HISTORY[1:, :2]))
    _, _, our_h, our_c = network.encoder(HISTORY, PROFILE)
    torch.testing.assert_close(our_h[1:], h[0])
    torch.testing.assert_close(our_c[1:], c[0])


def test_token_by_token_is_the_same_as_all_at_once():
    network = generator()
    states = network.encoder(HISTORY, PROFILE)
    begun = torch.cat([torch.full((2, 1), START), SAID], dim=1)
    whole, _ = network.decoder(begun, states)
    incremental, steps = None, []
    for length in range(1, begun.shape[1] + 1):
        step, incremental = network.decoder(begun[:, :length], states, incremental)
        steps.append(step[:, -1:])
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)


def test_the_profile_changes_what_is_said_only_where_there_is_one():
    network = generator()
    said, _, _ = network(HISTORY, PROFILE, ys=SAID)
    other, _, _ = network(HISTORY, PROFILE.roll(1, dims=2) * (PROFILE > 0), ys=SAID)
    nothing, _, _ = network(HISTORY, torch.zeros_like(PROFILE), ys=SAID)
    wide, _, _ = network(HISTORY, torch.zeros(2, 7, 9, dtype=torch.long), ys=SAID)
    assert not torch.allclose(said, nothing) and not torch.allclose(said, other)
    torch.testing.assert_close(nothing, wide)


def ranker() -> KeyValueProfileMemory:
    """Token i is the i-th axis; every token weighs 1; similarity is the cosine times log 3."""
    network = KeyValueProfileMemory(torch.ones(5), 5, PAD, 0.0)
    with torch.no_grad():
        for table in (network.said, network.responses):
            table.weight.copy_(torch.eye(5))
            table.weight[PAD].zero_()
        network.log_sharpness.copy_(torch.tensor(math.log(math.log(3))))
    return network.eval()


def test_the_hop_over_the_profile_by_hand():
    # q is axis 1; p_1 is axis 1 (cosine 1), p_2 is axis 2 (cosine 0): weights 3/4 and 1/4
    query = ranker().query(torch.tensor([[1, 0]]), torch.tensor([[[1, 0], [2, 0]]]))
    norm = math.hypot(1.75, 0.25)
    assert query[0].tolist() == pytest.approx([0, 1.75 / norm, 0.25 / norm, 0, 0], abs=1e-6)


def test_the_hop_over_the_pairs_moves_towards_the_response_of_the_like_history():
    network = ranker()
    keys = network.encode(network.said, torch.tensor([[1], [2]]))
    values = network.encode(network.responses, torch.tensor([[3], [4]]))
    nobody = torch.zeros(1, 1, 1, dtype=torch.long)
    query = network.query(torch.tensor([[1]]), nobody, (keys, values))
    norm = math.sqrt(1 + 0.75**2 + 0.25**2)
    assert query[0].tolist() == pytest.approx([0, 1 / norm, 0, 0.75 / norm, 0.25 / norm], abs=1e-6)
    candidates = network.encode(network.responses, torch.tensor([[[3], [4]]]))
    assert network.score(query, candidates)[0].tolist() == pytest.approx(
        [math.log(3) * 0.75 / norm, math.log(3) * 0.25 / norm], abs=1e-6
    )
    torch.testing.assert_close(
        network.score(query, candidates[0]), network.score(query, candidates)[0][None]
    )
