"""What a Receiver remembers of sentences is bounded, and forgetting changes no score."""

import torch

from p2bot_parlai.method import perceiver as perceivers
from p2bot_parlai.method.model_files import load_perceiver


def test_sentences_that_are_new_for_ever_do_not_pile_up(tiny_receiver, monkeypatch):
    monkeypatch.setattr(perceivers, "REMEMBERED_VECTORS", 10)
    bounded, persona = load_perceiver(tiny_receiver), ["i own a dog.", "i like tea."]
    scores = []
    for number in range(30):
        scores.append(bounded.score([f"my dog is {number}", f"tea at {number}"], [persona] * 2))
        assert all(len(known) <= 10 for known in bounded._vectors.values())
    monkeypatch.undo()
    fresh = load_perceiver(tiny_receiver)
    said = [text for n in range(30) for text in (f"my dog is {n}", f"tea at {n}")]
    torch.testing.assert_close(torch.cat(scores), fresh.score(said, [persona] * 60))
