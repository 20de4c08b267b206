"""Each metric of a response, worked out by hand."""

import pytest

from p2bot_parlai.metrics import persona_metrics as measures
from p2bot_parlai.metrics.nli import LABELS
from p2bot_parlai.parlai_support.words import content_words, words

PERSONA = ["i have two dogs.", "my favorite food is pizza.", "i live in Rome."]


def test_words_are_those_of_parlais_f1():
    assert words("The dog , it's a DOG !") == ["dog", "it", "s", "dog"]


def test_repetition_within_a_response():
    # i like | like tea | tea i | i like | like tea | tea too: 4 different of 6
    assert measures.repetition_within("i like tea , i like tea too .", words) == pytest.approx(
        2 / 6
    )
    assert measures.repetition_within("no no no no", words) == pytest.approx(2 / 3)
    assert measures.repetition_within("i like tea .", words) == 0
    assert measures.repetition_within("no no no no", words, order=3) == pytest.approx(1 / 2)
    assert (
        measures.repetition_within("tea !", words) is None
        and measures.repetition_within("", words) is None
    )


def test_repetition_of_earlier_turns():
    earlier = ["hello , i like tea .", "i work as baker ."]
    # i like (said) | like tea (said) | tea at | at work
    assert measures.repetition_across("i like tea at work", earlier, words) == pytest.approx(2 / 4)
    # no n-gram goes over the border between two turns
    assert measures.repetition_across("tea i", earlier, words) == 0
    assert measures.repetition_across("i like tea", [], words) is None  # nothing to repeat
    assert measures.repetition_across("tea", earlier, words) is None


def test_persona_f1():
    # {live, rome, pizza} against {two, dogs, favorite, food, pizza, live, rome}
    assert measures.persona_f1("i live in rome , pizza !", PERSONA, content_words) == pytest.approx(
        6 / 10
    )
    # said twice counts once
    assert measures.persona_f1("dogs dogs dogs", PERSONA, content_words) == pytest.approx(2 / 8)
    # stop words alone
    assert measures.persona_f1("i have my own and so do you", PERSONA, content_words) == 0
    assert measures.persona_f1("", PERSONA, content_words) == 0
    assert measures.persona_f1("dogs", ["i am."], content_words) == 0


@pytest.mark.parametrize(
    ("labels", "score"),
    [
        (["positive", "neutral", "neutral", "negative"], 0.0),
        (["positive", "neutral", "neutral", "neutral"], 0.25),
        (["negative", "negative"], -1.0),
        (["positive"], 1.0),
        ([], 0.0),
    ],
)
def test_c_score(labels, score):
    assert set(labels) <= set(LABELS)
    assert measures.c_score(labels) == score
