"""The cache of sentence vectors, and word dropout."""

import random

import pytest
import torch

from p2bot_parlai.method import perceiver as perceivers
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.method.perceiver import WordDropout

CLS, SEP = 1, 2
WORDS = range(10, 210)


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


# ------------------------------------------------------------------------ word dropout
def test_special_tokens_stay_and_something_always_does():
    random.seed(0)
    for dropout in (WordDropout({CLS, SEP}, share=0.9), WordDropout({CLS, SEP}, one_sided=0.9)):
        for side in ("utterance", "profile"):
            for _ in range(20):
                kept = dropout([CLS, 7, 8, 9, SEP], side)
                assert kept[0] == CLS and kept[-1] == SEP and len(kept) > 2
            assert dropout([7], side) == (7,)
            assert dropout([], side) == ()


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_how_many_are_left_out(share):
    random.seed(1)
    kept = WordDropout({CLS}, share=share)([CLS, *WORDS] * 20, "utterance")
    assert len(kept) / (20 * (len(WORDS) + 1)) == pytest.approx(1 - share, abs=0.03)


def test_one_sided_words_are_in_no_pair():
    random.seed(2)
    dropout = WordDropout({CLS}, one_sided=0.6)
    said, profile = set(dropout(WORDS, "utterance")), set(dropout(WORDS, "profile"))
    # whatever is left out on one side is there on the other: nothing is lost to both
    assert said | profile == set(WORDS)
    assert len(said & profile) / len(WORDS) == pytest.approx(0.4, abs=0.1)
    # of one batch all sentences are treated alike
    assert set(dropout(WORDS, "utterance")) == said and set(dropout(WORDS, "profile")) == profile
    assert set(WordDropout({CLS}, one_sided=0.6)(WORDS, "utterance")) != said
