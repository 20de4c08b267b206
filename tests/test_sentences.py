"""The encoder's tokenizer: special tokens, truncation, saving."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.tokenizers import SentenceTokenizer


@pytest.fixture
def tokenizer():
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "i", "like", "tea", "and", "rice", "["]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    backend.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return SentenceTokenizer(backend)


def test_special_tokens_are_those_of_the_encoder(tokenizer):
    assert tokenizer.encode("i like tea") == (1, 4, 5, 6, 2)
    assert len(tokenizer) == 10


def test_text_never_yields_a_special_token(tokenizer):
    ids = tokenizer.encode("i [SEP] like")
    assert ids.count(2) == 1 and ids[-1] == 2


def test_a_long_sentence_keeps_its_beginning_and_its_end_mark(tokenizer):
    tokenizer.encode("i like tea and rice")  # remembered, but not after limit()
    tokenizer.limit(4)
    assert tokenizer.encode("i like tea and rice") == (1, 4, 5, 2)


def test_saved_and_rebuilt_is_the_same(tokenizer):
    again = SentenceTokenizer.from_json(tokenizer.to_json())
    assert again.encode("tea and rice") == tokenizer.encode("tea and rice")
    with pytest.raises(P2botError, match="cannot be read"):
        SentenceTokenizer.from_json({"version": "1.0"})


def test_a_learnt_tokenizer_knows_every_character():
    learnt = SentenceTokenizer.train(["i like tea .", "tea is fine ."], 300)
    for text in ("i like tea .", "日本 😀", ""):
        assert learnt.backend.decode(list(learnt.encode(text))).strip() == text
    assert learnt.encode("broken \ud83d emoji")


def test_a_folder_with_tokenizer_json(tokenizer, tmp_path):
    tokenizer.backend.save(str(tmp_path / "tokenizer.json"))
    again = SentenceTokenizer.from_pretrained(str(tmp_path))
    assert again.encode("i like tea") == (1, 4, 5, 6, 2)
