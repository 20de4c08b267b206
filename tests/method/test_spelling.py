"""Text as people type it, and as corpora are written: measured, never guessed."""

import re
from pathlib import Path

import pytest

from p2bot_parlai.method.spelling import (
    CorpusSpelling,
    Spelling,
    count,
    read,
    show,
    spelling_of,
)

DATA = Path(__file__).parents[3] / "shared" / "data" / "ConvAI2"


def measured(*texts, times=20):
    corpus = CorpusSpelling()
    corpus.see(speech=texts * times)
    return corpus.speech


CONVAI2 = measured("hi , how are you ? i don't know . . . do you ?", "i am fine ! you ; me : no")
SKETCH = measured("i do not know , i am fine . and you ?", "that is great !")
CASED = measured("Hi, how are you? I don't know...", "I'm fine! You; me: no.")
TREEBANK = measured("i do n't know . it 's fine , i 'm sure", "you ca n't say we 'll go .")
APART = measured("i don ' t know . it ' s fine , i ' m sure", "you can ' t say we ' ll go .")
BLANK = measured("i don t know . it s fine , i m sure", "you can t say we ll go .")
FRENCH = measured("ça va ? oui, très bien.", "et toi ? non, pas du tout. un peu, oui. quoi ?")


@pytest.mark.parametrize(
    "spelling, typed, in_corpus",
    [
        (CONVAI2, "Do you have any pets?", "do you have any pets ?"),
        (CONVAI2, "Hi,how are you? I’m fine...", "hi , how are you ? i'm fine . . ."),
        (CONVAI2, "It costs 3.5, at 10:30 :)", "it costs 3.5 , at 10:30 :)"),
        (SKETCH, "I'm fine. Don't you? It's Tom's.", "i am fine . do not you ? it is tom's ."),
        (SKETCH, "I can't, I won't.", "i can not , i will not ."),
        (CASED, "hi , are you Tom ?", "hi, are you Tom?"),
        (CASED, "I DON'T know", "I DON'T know"),
        (TREEBANK, "I don't; it's Tom's, can't be.", "i do n't ; it 's tom 's , ca n't be ."),
        (APART, "I don't know, it's me.", "i don ' t know , it ' s me ."),
        (BLANK, "I don't know, it's me.", "i don t know , it s me ."),
        (FRENCH, "Ça va? Oui , bien .", "ça va ? oui, bien."),
        *[(CONVAI2, text, text) for text in ("Привет, как дела?", "你好!", "")],
    ],
)
def test_what_people_type_is_read_in_the_corpus_spelling(spelling, typed, in_corpus):
    assert read(typed, spelling) == in_corpus
    assert read(in_corpus, spelling) == in_corpus


@pytest.mark.parametrize(
    "spelling, said, shown",
    [
        (
            CONVAI2,
            "hi ! i don't know . . . maybe i will . why ?",
            "Hi! I don't know... maybe I will. Why?",
        ),
        (CASED, "iPhones are nice. i know!", "iPhones are nice. i know!"),
        (TREEBANK, "i do n't know .", "I don't know."),
        (APART, "we ' ll see .", "We'll see."),
        (BLANK, "it s fine , i m sure", "It's fine, I'm sure"),
        (FRENCH, "ça va ? oui.", "Ça va ? Oui."),
        (CONVAI2, "привет , как дела ?", "привет , как дела ?"),
    ],
)
def test_what_a_model_says_is_shown_as_people_write(spelling, said, shown):
    assert show(said, spelling) == shown
    assert show(shown, spelling) == shown
    assert read(shown, spelling) == said


def test_marks_are_measured_one_by_one():
    """As in ConvAI2's profile sentences."""
    profile = measured("i have a cat , a dog and a fish.", "i like tea.")
    assert (profile.spaced, profile.joined[0]) == (",", ".")
    assert read("I like tea, milk .", profile) == "i like tea , milk."
    assert show("i like tea , milk.", profile) == "I like tea, milk."


def test_what_is_not_clear_is_left_alone():
    for texts in (["hi ! bye!"], ["Hi there"], ["hello"], ["你好 !"], []):
        unclear = measured(*texts)
        for text in ("hi ! bye!", "hi, you ?", "it's"):
            assert read(text, unclear) == text
    assert measured("hi ! bye!").spaced == measured("hi ! bye!").joined == ""
    assert measured("hello there", times=2) == Spelling()
    assert not measured("i am Tom").lower and not measured("io e i libri sono qui").says_i


def test_counts_are_those_of_the_first_texts_and_replace_inherited_ones():
    corpus = CorpusSpelling({"speech": count("I am Tom." * 50)}, inherited=True)
    assert not corpus.speech.lower
    assert CorpusSpelling(corpus.to_json()).speech == corpus.speech, "kept where nothing is learnt"
    corpus.see(speech=["i am tom ."] * 6000, profile=["i sing."])
    assert corpus.speech == measured("i am tom .", times=300)
    assert corpus.counts["speech"]["texts"] == 5000 and corpus.counts["profile"]["texts"] == 1


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="no real ConvAI2 files in ../shared/data")
def test_convai2_is_in_its_own_spelling():
    """Utterances, candidates and profile sentences, some of every file."""
    corpus, texts = CorpusSpelling(), {"profile": {}, "speech": {}}
    for path in sorted(DATA.glob("*.txt")):
        with open(path, encoding="utf-8") as file:
            for line in (next(file).rstrip("\n") for _ in range(600)):
                said = re.fullmatch(r"\d+ (?:(?:your|partner's) persona: (.*)|(.*))", line)
                if said[1]:
                    texts["profile"][said[1]] = None
                else:
                    first, answer, _, candidates = [*said[2].split("\t"), "", ""][:4]
                    texts["speech"] |= dict.fromkeys([first, answer, *candidates.split("|")])
    texts["speech"].pop("__SILENCE__", None)
    corpus.see(**texts)
    assert len(texts["speech"]) > 5000 and len(texts["profile"]) > 500
    for spelling, found in zip((corpus.profile, corpus.speech), texts.values(), strict=True):
        assert spelling.lower and spelling.says_i
        for text in found:
            assert read(text, spelling) == text
            shown = show(text, spelling)
            assert read(shown, spelling) == text and show(shown, spelling) == shown
    assert read("Do you have any pets?", corpus.speech) == "do you have any pets ?"
    assert read("I have a cat, 2 dogs .", corpus.profile) == "i have a cat , 2 dogs."


def test_spelling_of_counts_is_what_is_stored():
    total = count("i am fine , thanks .") + count("you ?")
    assert spelling_of({name: 40 * value for name, value in total.items()}).spaced[:2] == ".,"
