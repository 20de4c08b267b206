"""``--context-style chatml``: the form of instruct models, by hand."""

import pytest

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue, build_context
from p2bot_parlai.method.context_style import CHATML
from p2bot_parlai.method.tokenizers import P2botTokenizer

TOKENIZER = P2botTokenizer.train(["i own a cat . hello there"] * 3, 400, CHATML)
ABOUT = CHATML.instruction + "\nAbout you:\ni own a cat .\ni swim .<|im_end|>"
HELLO = "\n<|im_start|>user\nhello there<|im_end|>"
ASKED = "\n<|im_start|>assistant"


def written(dialogue: Dialogue, limit: int | None = None) -> str:
    """The context with its special tokens; the small tokenizer begins each text with a space."""
    ids = build_context(dialogue, TOKENIZER, limit).ids
    text = TOKENIZER.backend.decode(ids, skip_special_tokens=False)
    return text.replace(" <|", "<|").replace("|> ", "|>").replace("\n ", "\n").replace(" \n", "\n")


def test_the_form_by_hand():
    dialogue = Dialogue(["i own a cat .", "i swim ."])
    assert written(dialogue) == ABOUT + ASKED  # who opens the dialogue
    dialogue.hear("hello there")
    assert written(dialogue) == ABOUT + HELLO + ASKED
    first = build_context(dialogue, TOKENIZER).ids
    dialogue.say("hello .")
    dialogue.hear("hello there")
    assert written(dialogue) == ABOUT + HELLO + ASKED + "\nhello .<|im_end|>" + HELLO + ASKED
    # append-only: what was read is not read again
    response = [TOKENIZER.self_, *TOKENIZER.encode("hello ."), TOKENIZER.eos]
    begun = first + response
    assert build_context(dialogue, TOKENIZER).ids[: len(begun)] == begun


def test_without_a_persona_there_is_no_title():
    assert written(Dialogue()) == CHATML.instruction + "<|im_end|>" + ASKED


def test_too_long_the_persona_stays_and_whole_turns_go():
    dialogue = Dialogue(["i own a cat .", "i swim ."], turns=[(False, "hello there")] * 5)
    limit = len(build_context(dialogue, TOKENIZER).ids) - 1
    assert written(dialogue, limit) == ABOUT + 4 * HELLO + ASKED


def test_a_vocabulary_without_the_form_is_refused():
    """Its marks would be new tokens, which an untrained model has never seen."""
    other = P2botTokenizer.train(["i own a cat ."], 300).backend
    with pytest.raises(P2botError, match="--context-style chatml .* has no <|endoftext|>"):
        P2botTokenizer(other, CHATML)
