"""``parlai import_dialogues``: what is read of each form, what is left out, what is written."""

import json
import random

import languages
import pytest
from parlai.core.params import ParlaiParser
from parlai.core.teachers import create_task_agent_from_taskname

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.words import sentences
from p2bot_parlai.scripts.import_dialogues import ImportDialogues
from p2bot_parlai.tools.importing.reading import Imported, Turn
from p2bot_parlai.tools.importing.writing import DISTRACTORS, draw_distractors

ROLES = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}


def convert(tmp_path, text: str) -> list[str]:
    source = tmp_path / "theirs"
    source.write_text(text, encoding="utf-8")
    return ImportDialogues.main(str(source), "--outfile", str(tmp_path / "own.txt"))


def read(path) -> list[list[dict]]:
    """The episodes that ParlAI reads."""
    opt = ParlaiParser(True, False).parse_kwargs(
        task="fromfile:fbformat", fromfile_datapath=str(path), datatype="train:ordered"
    )
    teacher = create_task_agent_from_taskname(opt)[0]
    found = [[]]
    for _ in range(teacher.num_examples()):
        found[-1].append(teacher.act())
        if found[-1][-1]["episode_done"]:
            found.append([])
    return found[:-1]


def chat(*said: str, **more) -> str:
    """A line of JSONL. :param said: "u:hello", with the first letter of the role."""
    messages = [{"role": ROLES[text[0]], "content": text[2:]} for text in said]
    return json.dumps({"messages": messages, **more})


def test_personachat_of_hugging_face(tmp_path):
    paths = convert(tmp_path, languages.as_personachat(languages.ENGLISH))
    assert paths == [str(tmp_path / "own_train.txt"), str(tmp_path / "own_valid.txt")]
    train, valid = map(read, paths)
    assert (len(train), len(valid)) == (4, 2)
    first, second = train[0]
    persona = "your persona: I eat soup every day.\nyour persona: I live in Bern.\n"
    assert first["text"] == persona + "__SILENCE__"
    assert list(first["labels"]) == ["Hi, my home is in Bern."]
    # a bar would be the end of a candidate
    assert first["label_candidates"] == ["no .", "not / that .", "Hi, my home is in Bern."]
    assert second["text"] == "What do you like to eat?"


def test_a_dialogue_that_does_not_begin_with_its_first_reply(tmp_path):
    utterance = {"history": ["a", "b", "c"], "candidates": ["no", "d"]}
    following = {"history": ["a", "b", "c", "d", "e"], "candidates": ["no", "f"]}
    entry = {"personality": ["i sail."], "utterances": [utterance, following]}
    (episode,) = read(*convert(tmp_path, json.dumps([entry])))
    said = [(message["text"].split("\n")[-1], *message["labels"]) for message in episode]
    assert said == [("a", "b"), ("c", "d"), ("e", "f")]


def test_chat_messages(tmp_path):
    lines = [
        chat("s:You are a cook. I live in Bern.", "u:hi", "u:who\nare you", "a:a cook", "u:bye"),
        chat("a:hello", "u:", "a:I have\ttwo\\ncats", persona=["I sail.", "i sail."]),
        json.dumps([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]),
    ]
    cook, sailor, nobody = read(*convert(tmp_path, "\n".join(lines)))
    assert cook[0]["text"].split("\n") == [
        *("your persona: You are a cook.", "your persona: I live in Bern.", "hi who are you"),
    ]
    assert len(cook) == 1
    # a literal \n would be read as a line break
    assert list(sailor[0]["labels"]) == ["hello I have two cats"]
    assert sailor[0]["text"].endswith("your persona: i sail.\n__SILENCE__")
    assert nobody[0]["text"] == "x"


def test_synthetic_persona_chat_is_read_as_each_speaker(tmp_path):
    episodes = read(*convert(tmp_path, languages.as_synthetic(languages.GERMAN)))
    assert len(episodes) == 12
    asking, answering = episodes[:2]
    assert answering[0]["text"].split("\n") == [
        "your persona: Ich esse jeden Tag Suppe.",
        "your persona: Ich wohne in Köln an der Straße.",
        "Hallo, wo wohnst du?",
    ]
    assert asking[0]["text"].split("\n") == [
        "your persona: Ich esse jeden Tag Honig.",
        "your persona: Ich wohne in Lübeck an der Straße.",
        "__SILENCE__",
    ]
    assert asking[1]["text"] == answering[0]["labels"][0] == "Grüß dich! Ich bin in Köln zu Hause."


def test_what_is_left_out_is_said_by_line(tmp_path, capsys):
    lines = [
        chat("u:hi", "a:hello"),
        "broken",
        "",
        chat("u:hi", "t:42"),
        chat("u:hi"),
        '{"text": "hi"}',
        chat("u:your persona: i lie.", "a:no"),
        '{"messages": [{"role": "user", "content": ["hi"]}]}',
        chat("u:hi", "a:hello", persona=3),
    ]
    (path,) = convert(tmp_path, "\n".join(lines))
    out = capsys.readouterr().out
    left_out = [line for line in out.split("\n") if line.startswith("left out, ")]
    starts = [
        *("line 2: not JSON", "line 4: a message of role tool at place 2"),
        *("line 5: nobody replies", "line 6: neither utterances nor messages"),
        *('line 7: a text begins with "your persona:"', "line 8: a text is no string"),
        "line 9: the persona is no list",
    ]
    assert len(left_out) == len(starts)
    for line, start in zip(left_out, starts, strict=True):
        assert line.startswith(f"left out, {start}")
    assert "left out: 7 dialogues, 1 last" in out and "1 dialogues (1 people, 1 without" in out
    assert len(read(path)) == 1


def test_broken_rows_of_the_csv(tmp_path, capsys):
    text = languages.as_synthetic(languages.ENGLISH)
    convert(tmp_path, f'{text}a,b\na,b,"User 2: hi\nUser 1: ho"\nx,y,Hello\n')
    out = capsys.readouterr().out
    # a dialogue is of six lines
    assert "line 38: not as many fields" in out and "line 41: the conversation does not" in out


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "has no dialogue that can be read: it may be"),
        ("a,b\n1,2\n", r"no dialogue that can be read \(line 1: not JSON"),
        ("a,Best Generated Conversation\n1,2\n", "no column user 1 personas"),
        ("3", "'' is no fold with a list of dialogues"),
        ("[]", "has no dialogue that can be read: it may be"),
        ('{"x": 3}', "'x' is no fold with a list of dialogues"),
        ('{"../x": []}', "'../x' is no fold"),
        ("{x\n{y", r"no dialogue that can be read \(line 1: not JSON"),
    ],
)
def test_a_file_of_no_known_form(tmp_path, text, message):
    with pytest.raises(P2botError, match=message):
        convert(tmp_path, text)
    assert not (tmp_path / "own.txt").exists()


# ----------------------------------------------------------------------------- distractors
def dialogues(count: int, persons: int) -> list[Imported]:
    return [
        Imported([f"i am {i % persons}."], [Turn("hi", "yes"), Turn("and", f"reply {i}")])
        for i in range(count)
    ]


@pytest.mark.parametrize("count, persons, drawn", [(80, 40, 19), (8, 4, 6), (9, 1, 0)])
def test_distractors_are_replies_of_other_people(count, persons, drawn):
    found = dialogues(count, persons)
    draw_distractors(found, random.Random(1))
    for i, dialogue in enumerate(found):
        others = dialogue.turns[1].distractors
        # everybody says "yes"
        allowed = {f"reply {j}" for j in range(count) if (j - i) % persons}
        assert len(set(others)) == len(others) == min(drawn, DISTRACTORS)
        assert set(others) <= allowed
    again, other = dialogues(count, persons), dialogues(count, persons)
    draw_distractors(again, random.Random(1))
    draw_distractors(other, random.Random(2))
    assert again == found
    assert drawn == 0 or other != found


def test_what_is_said_in_a_dialogue_is_no_distractor_in_it():
    first = Imported([], [Turn("how are you ?", "fine"), Turn("why ?", "so")])
    second = Imported([], [Turn(None, "how are you ?"), Turn("fine", "why ?")])
    draw_distractors([first, second, Imported([], [Turn(None, "no")])], random.Random(1))
    assert [turn.distractors for turn in first.turns] == [["no"], ["no"]]


def test_sentences():
    text = 'I like tea. I have 2.5 dogs! "Really." Yes…\nok'
    assert sentences(text) == ["I like tea.", "I have 2.5 dogs!", '"Really."', "Yes…", "ok"]
    assert sentences("我喜欢茶。“真的？”我有狗！！好") == [
        "我喜欢茶。",
        "“真的？”",
        "我有狗！！",
        "好",
    ]
