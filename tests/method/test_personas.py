"""Who is who among the personas, and who may be a distractor."""

import random

import pytest

from p2bot_parlai.method.personas import draw_others, group_by_person, sentence_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I'm a nurse.", "i am a nurse"),
        ("i ve two dogs .", "I've two dogs!"),
        ("i don't eat meat.", "i don t eat meat ."),
        ("i can't swim.", "i cannot swim."),
        ("i’d love to.", "i would love to."),
    ],
)
def test_contractions_case_and_punctuation_do_not_count(one, other):
    assert sentence_key(one) == sentence_key(other)


def test_variants_of_a_persona_are_one_person():
    five = ["i'm a nurse.", "i own a cat.", "i like tea.", "i live in bern.", "i sing."]
    contracted = ["i am a nurse.", "i own a cat.", "i like tea.", "i live in bern.", "i sing."]
    four, three = five[:4], five[2:]
    somebody = ["i'm a pilot.", "i own a cat.", "i like rice.", "i live in oslo."]
    assert group_by_person([five, contracted, four, three, somebody]) == [0, 0, 0, 0, 1]


def test_a_chain_of_variants_is_one_person():
    first = ["a b", "c d", "e f", "g h"]
    middle = ["e f", "g h", "i j", "k l"]
    last = ["i j", "k l", "m n", "o p"]
    assert group_by_person([first, last]) == [0, 1]
    assert group_by_person([first, last, middle]) == [0, 0, 0]
    assert group_by_person([["i sing."], ["I sing!"], ["i sing.", "i dance."]]) == [0, 0, 0]


def test_more_shared_sentences_may_be_asked_for():
    personas = [["a b", "c d", "e f"], ["a b", "c d", "x y"]]
    assert group_by_person(personas) == [0, 0]
    assert group_by_person(personas, shared_sentences=3) == [0, 1]


def test_others_are_other_and_different_people():
    members = [[0, 1], [2], [3, 4, 5], [6]]
    for seed in range(20):
        drawn = draw_others(2, members, 3, random.Random(seed))
        assert len(drawn) == 3 and not set(drawn) & {3, 4, 5}
        assert len(set(drawn) & {0, 1}) == 1
