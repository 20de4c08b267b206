"""Tokenizers: learnt, from folders, saved; special tokens that no text can fake."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context_style import SPECIAL_TOKENS
from p2bot_parlai.method.tokenizers import P2botTokenizer, SentenceTokenizer

TEXTS = ["i like tea .", "do you like tea ?", "i have two dogs !"]


@pytest.fixture
def learnt():
    return P2botTokenizer.train(TEXTS, vocab_size=320)


def gpt_folder(folder):
    """The word-level form of GPT: pieces that end a word carry </w>."""
    pieces = [
        *"abcdeghiklnostuwy'?.!",
        *(f"{c}</w>" for c in "abcdeghiklnostuwy'?.!"),
        "te",
        "tea</w>",
    ]
    folder.joinpath("vocab.json").write_text(
        json.dumps({piece: i for i, piece in enumerate(["<unk>", *pieces])})
    )
    folder.joinpath("merges.txt").write_text("#version: 0.2\nt e\nte a</w>\n")
    return str(folder)


def test_text_comes_back_and_nothing_is_unknown(learnt):
    for text in [*TEXTS, "unseen words", "emoji 😀 and é", "tab\tand \x07 bell"]:
        assert learnt.decode(learnt.encode(text)) == text


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_typed_special_tokens_are_mere_text(learnt, token):
    assert not set(learnt.encode(f"i {token} tea")) & learnt.special_ids


def test_decoding_stops_at_the_end_and_skips_special_tokens(learnt):
    ids = [learnt.self_, *learnt.encode("i like tea ."), learnt.cls, learnt.eos]
    assert learnt.decode([*ids, *learnt.encode("more")]) == "i like tea ."


def test_half_an_emoji_is_no_crash(learnt):
    assert learnt.encode("\ud83d") == learnt.encode("?")


def test_gpt_vocabulary_from_a_folder_without_config(tmp_path):
    tokenizer = P2botTokenizer.from_pretrained(gpt_folder(tmp_path))
    ids = tokenizer.encode("Don't")  # GPT lower-cases
    assert tokenizer.decode(ids) == "don't"
    assert tokenizer.decode(tokenizer.encode("tea")) == "tea"
    assert len(tokenizer.encode("tea")) == 1
    again = P2botTokenizer.from_json(tokenizer.to_json())
    assert again.encode("hi [CLS] tea?") == tokenizer.encode("hi [CLS] tea?")


def test_a_folder_without_tokenizer_is_named(tmp_path):
    with pytest.raises(P2botError, match=f"cannot load {tmp_path}"):
        P2botTokenizer.from_pretrained(str(tmp_path))


def test_a_damaged_saved_tokenizer_is_named():
    with pytest.raises(P2botError, match="saved tokenizer cannot be read"):
        P2botTokenizer.from_json({"version": "1.0"})


# ---------------------------------------------------------------------- of encoders
@pytest.fixture
def sentences():
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "i", "like", "tea", "and", "rice", "["]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    backend.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return SentenceTokenizer(backend)


def test_special_tokens_are_those_of_the_encoder(sentences):
    assert sentences.encode("i like tea") == (1, 4, 5, 6, 2)
    assert len(sentences) == 10


def test_sentences_never_yield_a_special_token(sentences):
    ids = sentences.encode("i [SEP] like")
    assert ids.count(2) == 1 and ids[-1] == 2


def test_a_long_sentence_keeps_its_beginning_and_its_end_mark(sentences):
    sentences.encode("i like tea and rice")  # remembered, but not after limit()
    sentences.limit(4)
    assert sentences.encode("i like tea and rice") == (1, 4, 5, 2)


def test_saved_and_rebuilt_is_the_same(sentences):
    again = SentenceTokenizer.from_json(sentences.to_json())
    assert again.encode("tea and rice") == sentences.encode("tea and rice")
    with pytest.raises(P2botError, match="cannot be read"):
        SentenceTokenizer.from_json({"version": "1.0"})


def test_a_learnt_tokenizer_knows_every_character():
    learnt = SentenceTokenizer.train(["i like tea .", "tea is fine ."], 300)
    for text in ("i like tea .", "日本 😀", ""):
        assert learnt.backend.decode(list(learnt.encode(text))).strip() == text
    assert learnt.encode("broken \ud83d emoji")


def test_a_folder_with_tokenizer_json(sentences, tmp_path):
    sentences.backend.save(str(tmp_path / "tokenizer.json"))
    again = SentenceTokenizer.from_pretrained(str(tmp_path))
    assert again.encode("i like tea") == (1, 4, 5, 6, 2)
