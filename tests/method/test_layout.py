"""Turns packed in rows against every turn by itself."""

import torch
from turns import MARKS, TURNS

from p2bot_parlai.method.layout import lay_out, pack


def plain(model, turn):
    """A turn by itself: logits of its tokens, and the [CLS] scores, distractors' too."""
    states = model.encode_context(
        torch.tensor([turn.context]), torch.ones(1, len(turn.context), dtype=torch.bool)
    )
    branches = lay_out([[turn.response, *turn.distractors]], MARKS)
    hidden, scores = model.read(branches, states)
    logits = model.output(hidden[branches.target_index])[0, : len(turn.response)]
    return logits, scores


def test_packed_is_the_same_as_turn_by_turn(model):
    packed = pack(TURNS, MARKS)
    # four rows: two dialogues, and two turns whose contexts continue nothing
    assert len(packed.inputs) == 4
    logits, scores = model(packed)
    by_turn = scores.split([1 + len(turn.distractors) for turn in TURNS])
    logits_by_turn = logits.split([len(turn.response) for turn in TURNS])
    for i, turn in enumerate(TURNS):
        expected, expected_scores = plain(model, turn)
        torch.testing.assert_close(logits_by_turn[i], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(by_turn[i], expected_scores, atol=1e-5, rtol=0)
        assert packed.targets[i, packed.target_mask[i]].tolist() == turn.response


def test_vocabulary_logits_are_those_of_real_targets_alone(model, monkeypatch):
    output, computed = model.output, []
    monkeypatch.setattr(model, "output", lambda h: computed.append(h.shape[:-1]) or output(h))
    model(pack(TURNS, MARKS))
    assert computed == [(sum(len(turn.response) for turn in TURNS),)]
