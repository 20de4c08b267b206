"""``--context-style original``: its tokens by hand, and its fast paths against slow ones."""

from dataclasses import replace

import pytest
import torch

from p2bot_parlai.method.context import Dialogue, build_context
from p2bot_parlai.method.context_style import ORIGINAL
from p2bot_parlai.method.layout import Turn, pack
from p2bot_parlai.method.tokenizers import P2botTokenizer

# words are 1 to 7
MARKS = replace(ORIGINAL.with_ids(ORIGINAL.special_tokens.index), pad=0, self_=8)
TOKENIZER = P2botTokenizer.train(["a b c d e f g h i j k l m n o p"] * 3, 400, ORIGINAL)


def tokens(ids) -> list[str]:
    return [TOKENIZER.backend.id_to_token(i).lstrip("Ġ") for i in ids]


def a_dialogue() -> Dialogue:
    made = Dialogue()
    made.hear("your persona: A b\nyour persona: c\nd E")
    made.say("F g")
    made.hear("h")
    return made


WHOLE = "<pstart> a b c <pend> <t1start> d e <t1end> f g <t1start> h <t1end>"
FORM = WHOLE.split()


def test_the_form_by_hand():
    assert tokens(build_context(a_dialogue(), TOKENIZER).ids) == FORM


@pytest.mark.parametrize("limit", [4, len(FORM)])
def test_too_long_the_last_tokens_stay_whatever_they_are(limit):
    context = build_context(a_dialogue(), TOKENIZER, limit)
    assert tokens(context.ids) == FORM[-limit:]
    assert context.full_length == len(FORM)


def test_the_partners_sentences_come_last_in_the_one_persona():
    made = Dialogue(persona=["a"], partner_persona=["b"])
    assert tokens(build_context(made, TOKENIZER).ids) == ["<pstart>", "a", "b", "<pend>"]


def test_turns_are_packed_with_responses_as_branches():
    # contexts 1 2 | and 1 2 5 3 |, responses 5 9 and 6 9, self 8
    turns = [Turn([1, 2], [5, 9], [[7, 9]]), Turn([1, 2, 5, 3], [6, 9])]
    packed = pack(turns, MARKS)
    assert packed.inputs.tolist() == [[1, 2, 5, 3, 8, 5, 9, 8, 7, 9, 8, 6, 9]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 2, 3, 4, 2, 3, 4, 4, 5, 6]]
    assert packed.target_index.tolist() == [[4, 5], [10, 11]]
    assert packed.cls_index.tolist() == [6, 9, 12]
    seen = {row: packed.seen[0, row].nonzero().flatten().tolist() for row in (3, 6, 9, 12)}
    assert seen == {
        3: [0, 1, 2, 3],
        6: [0, 1, 4, 5, 6],
        9: [0, 1, 7, 8, 9],
        12: [0, 1, 2, 3, 10, 11, 12],
    }


def test_a_turn_whose_context_was_cut_begins_a_row_of_its_own():
    packed = pack([Turn([1, 2], [5, 9]), Turn([2, 5, 3], [6, 9])], MARKS)
    assert packed.inputs.tolist() == [[1, 2, 8, 5, 9, 0], [2, 5, 3, 8, 6, 9]]
    assert torch.equal(packed.cls_index, torch.tensor([4, 11]))
