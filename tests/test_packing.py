"""Turns packed in rows against every turn by itself."""

import pytest
import torch

from p2bot_parlai.method.backbones import GPT, GPTConfig
from p2bot_parlai.method.layout import Turn, lay_out, pack
from p2bot_parlai.method.transmitter import Transmitter

PAD, SELF, EOS, CLS, PARTNER = 0, 1, 2, 3, 4


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=30, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    model = Transmitter(GPT(config)).eval()
    for parameter in model.parameters():  # larger weights: a wrong mask must show
        parameter.data.mul_(5)
    return model


def dialogue(*responses, start=(10, 11), distractors=()):
    """Turns of one dialogue, each context going on where the last one ended."""
    context, turns = list(start), []
    for response in responses:
        context = [*context, PARTNER, 20 + len(turns)]
        turns.append(Turn(context, response, list(distractors[len(turns) : len(turns) + 1])))
        ended = response if response[-1] == EOS else [*response, EOS]
        context = [*context, SELF, *ended]
    return turns


# a response that was cut, without [EOS]; turns alone; distractors for some
TURNS = [
    *dialogue(
        [12, 13, EOS], [14, 15, 16, 17], [EOS], [18, EOS], distractors=([13, EOS], [12, 19, 12])
    ),
    *dialogue([12, EOS], [13, 14, EOS], start=(10, 11, 12, 13)),
    Turn([10, PARTNER, 25], [13, 14, EOS]),
    Turn([11, PARTNER, 26], [15, 15, 15, EOS], [[16, EOS], [17], [18, 18, EOS]]),
]


def plain(model, turn):
    """A turn by itself: logits of its tokens, and the [CLS] scores, distractors' too."""
    states = model.encode_context(
        torch.tensor([turn.context]), torch.ones(1, len(turn.context), dtype=torch.bool)
    )
    branches = lay_out([[turn.response, *turn.distractors]], SELF, CLS, PAD)
    hidden, scores = model.read_branches(states, branches)
    logits = model.output(hidden[branches.target_index])[0, : len(turn.response)]
    return logits, scores


def test_packed_is_the_same_as_turn_by_turn(model):
    packed = pack(TURNS, SELF, CLS, PAD)
    logits, scores = model(packed)
    by_turn = scores.split([1 + len(turn.distractors) for turn in TURNS])
    logits_by_turn = logits.split([len(turn.response) for turn in TURNS])
    for i, turn in enumerate(TURNS):
        expected, expected_scores = plain(model, turn)
        torch.testing.assert_close(logits_by_turn[i], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(by_turn[i], expected_scores, atol=1e-5, rtol=0)
        assert packed.targets[i, packed.target_mask[i]].tolist() == turn.response


def test_so_are_the_gradients(model):
    def gradient(loss):
        model.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in model.parameters()]

    packed = pack(TURNS, SELF, CLS, PAD)
    logits, scores = model(packed)
    ours = gradient(logits.sin().sum() + scores.sin().sum())
    found = [plain(model, turn) for turn in TURNS]
    theirs = gradient(sum(logits.sin().sum() + scores.sin().sum() for logits, scores in found))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)


def test_vocabulary_logits_are_those_of_real_targets_alone(model, monkeypatch):
    output, computed = model.output, []
    monkeypatch.setattr(model, "output", lambda h: computed.append(h.shape[:-1]) or output(h))
    model(pack(TURNS, SELF, CLS, PAD))
    assert computed == [(sum(len(turn.response) for turn in TURNS),)]


def test_turns_of_a_dialogue_share_a_row():
    # four rows: two dialogues, and two turns whose contexts continue nothing
    assert len(pack(TURNS, SELF, CLS, PAD).inputs) == 4


def test_a_context_that_lost_old_turns_begins_a_row():
    first, second = dialogue([12, EOS], [13, EOS])
    shorter = Turn([10, 11, *second.context[-2:]], [13, EOS])
    assert len(pack([first, second], SELF, CLS, PAD).inputs) == 1
    assert len(pack([first, shorter], SELF, CLS, PAD).inputs) == 2
