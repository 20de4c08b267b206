"""The chat template gives, token for token, what `build_context` gives."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import Dialogue, build_context
from p2bot_parlai.method.tokenizers import P2botTokenizer
from p2bot_parlai.tools.export.chat_template import chat_tokenizer, messages_of, rendered_ids

TEXTS = [
    *("i like tea", "We have 22 dogs.", "hi there , don't you ?", "yes", "say it !", "héllo 😀"),
    *("so", "it's", "done", "a tab\tor two"),
]
DIALOGUES = {
    "persona": Dialogue(["i like tea", "We have 22 dogs."]),
    "turns": Dialogue([], turns=[(False, "hi"), (True, "yes !"), (False, "don't you ?")]),
    "odd text": Dialogue(["héllo 😀", "a"], turns=[(False, "a tab\tor"), (True, "two\nlines")]),
    "twice in a row": Dialogue(["so"], turns=[(True, "hi"), (True, "hi"), (False, "22")]),
}


def byte_level(prefix: bool) -> P2botTokenizer:
    """As GPT-2's (no space before the first word), or as the one that we learn."""
    if prefix:
        return P2botTokenizer.train(TEXTS, 400)
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    return P2botTokenizer(backend)


def word_level() -> P2botTokenizer:
    """As the tokenizer of GPT (2018): lower case, words that end in </w>."""
    backend = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<unk>"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    return P2botTokenizer(backend)


KINDS = {
    "learnt": lambda: byte_level(prefix=True),
    "as GPT-2": lambda: byte_level(prefix=False),
    "as GPT": word_level,
}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """A tokenizer of ours, and what plain transformers loads of its export."""
    ours = KINDS[request.param]()
    folder = tmp_path_factory.mktemp("exported")
    chat_tokenizer(ours, 99).save_pretrained(folder)
    return ours, AutoTokenizer.from_pretrained(folder), folder


@pytest.mark.parametrize("name", DIALOGUES)
def test_ids_are_those_of_the_context(pair, name):
    ours, exported, _ = pair
    assert rendered_ids(exported, DIALOGUES[name]) == build_context(DIALOGUES[name], ours).ids


def test_the_generation_prompt_opens_a_response(pair):
    ours, exported, _ = pair
    dialogue = DIALOGUES["turns"]
    ids = exported.apply_chat_template(
        messages_of(dialogue), add_generation_prompt=True, return_dict=False
    )
    assert ids == [*build_context(dialogue, ours).ids, ours.self_]


def test_special_tokens_that_somebody_types_are_text(pair):
    ours, exported, _ = pair
    typed = Dialogue(["[PE] i"], turns=[(False, "[CLS][SELF] hi [EOS]"), (True, "[PAD]")])
    marks = [ours.persona_start, ours.persona_end, ours.partner, ours.self_, ours.eos]
    special = {*marks, ours.cls, ours.pad}
    assert [i for i in rendered_ids(exported, typed) if i in special] == marks


def test_it_comes_back_and_can_be_exported_again(pair):
    ours, _, folder = pair
    back = P2botTokenizer.from_pretrained(str(folder))
    assert len(back) == len(ours) and back.encode(TEXTS[2]) == ours.encode(TEXTS[2])
    again = chat_tokenizer(back, None)
    assert again.backend_tokenizer.to_str().count("Removed") == 1
    assert (
        rendered_ids(again, DIALOGUES["persona"]) == build_context(DIALOGUES["persona"], ours).ids
    )


def test_a_tokenizer_whose_parts_are_not_the_whole_is_refused():
    backend = Tokenizer(models.BPE())
    # a space before the first word of a text, and of nothing else
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    with pytest.raises(P2botError, match="no chat template can render"):
        chat_tokenizer(P2botTokenizer(backend), None)
