"""Tokenizers: learnt, from folders, saved; special tokens that no text can fake."""

import pytest
from original_files import write_vocabulary
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context_style import SPECIAL_TOKENS
from p2bot_parlai.method.tokenizers import P2botTokenizer, SentenceTokenizer

TEXTS = ["i like tea .", "do you like tea ?", "i have two dogs !"]


@pytest.fixture
def learnt():
    return P2botTokenizer.train(TEXTS, vocab_size=320)


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_typed_special_tokens_are_mere_text(learnt, token):
    assert not set(learnt.encode(f"i {token} tea")) & learnt.special_ids


def test_decoding_stops_at_the_end_and_skips_special_tokens(learnt):
    ids = [learnt.self_, *learnt.encode("i like tea ."), learnt.cls, learnt.eos]
    assert learnt.decode([*ids, *learnt.encode("more")]) == "i like tea ."


def test_gpt_vocabulary_from_a_folder_without_config(tmp_path):
    tokenizer = P2botTokenizer.from_pretrained(str(write_vocabulary(tmp_path / "gpt")))
    ids = tokenizer.encode("Don't")  # GPT lower-cases
    assert tokenizer.decode(ids) == "don't"
    assert len(tokenizer.encode("the")) == 1
    again = P2botTokenizer.from_json(tokenizer.to_json())
    assert again.encode("hi [CLS] the?") == tokenizer.encode("hi [CLS] the?")


def test_a_folder_without_tokenizer_is_named(tmp_path):
    with pytest.raises(P2botError, match=f"cannot load {tmp_path}"):
        P2botTokenizer.from_pretrained(str(tmp_path))


# ---------------------------------------------------------------------- of encoders
@pytest.fixture
def sentences():
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "i", "like", "tea", "and", "rice", "["]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    backend.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return SentenceTokenizer(backend)


def test_a_long_sentence_keeps_its_beginning_and_its_end_mark(sentences):
    assert sentences.encode("i like tea and rice") == (1, 4, 5, 6, 7, 8, 2)
    sentences.limit(4)
    assert sentences.encode("i like tea and rice") == (1, 4, 5, 2)


def test_a_folder_with_tokenizer_json(sentences, tmp_path):
    sentences.backend.save(str(tmp_path / "tokenizer.json"))
    again = SentenceTokenizer.from_pretrained(str(tmp_path))
    assert again.encode("i like tea") == (1, 4, 5, 6, 2)
