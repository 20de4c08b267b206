"""People type as they do: with the model that ships, whose corpus knows no capitals."""

import numpy as np
import pytest
from parlai.scripts.interactive import Interactive
from parlai.scripts.self_chat import SelfChat
from terminal import type_in

from p2bot_parlai import P2Bot
from p2bot_parlai.chat.conversation import pieces
from p2bot_parlai.method.spelling import show
from p2bot_parlai.scripts.relevance_map import RelevanceMap

MODEL, RECEIVER = "zoo:p2bot/sketch/model", "zoo:p2bot/sketch/receiver"
PERSONA = ["i have two dogs.", "i work as a nurse."]
TYPED = ["Hi, how are you?", "Do you have any pets?", "I don't, it's sad!"]
WRITTEN = ["hi , how are you ?", "do you have any pets ?", "i do not , it is sad !"]


@pytest.fixture(scope="module")
def datapath(tmp_path_factory):
    return str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bots(datapath):
    """One that reads what people type, and one that reads texts as they are."""
    return [P2Bot.load(MODEL, datapath=datapath, raw_text=raw) for raw in (False, True)]


def test_typed_as_people_do_is_answered_as_in_the_corpus(bots):
    bot, raw = (bot.conversation(PERSONA) for bot in bots)
    speech = bots[0].speaker.spelling.speech
    for typed, written in zip(TYPED, WRITTEN, strict=True):
        answer, expected = bot.reply(typed), raw.reply(written)
        assert answer == show(expected, speech)
        assert answer[0].isupper() and " ." not in answer and " ?" not in answer
        assert expected == expected.lower()
    assert [text for who, text in bot.turns if who == "partner"] == TYPED
    scores = [dict(talk.rank(None, ["i am fine ."])) for talk in (bot, raw)]
    assert scores[0] == scores[1], "it remembers in its own spelling"


def test_personas_and_candidates_too(bots):
    bot, raw = bots
    typed = bot.conversation(["I have two dogs.", "I work as a nurse ."])
    assert typed.persona == ("I have two dogs.", "I work as a nurse .")
    ranked = typed.rank(TYPED[0], ["I'm fine, thanks.", "I have two dogs!"])
    expected = raw.conversation(PERSONA).rank(
        WRITTEN[0], ["i am fine , thanks .", "i have two dogs !"]
    )
    assert [score for _, score in ranked] == [score for _, score in expected]
    assert {text for text, _ in ranked} == {"I'm fine, thanks.", "I have two dogs!"}


def test_raw_text_reads_it_as_it_is(bots):
    bot, raw = bots
    typed, written = (raw.conversation(PERSONA).rank(said[1], WRITTEN) for said in (TYPED, WRITTEN))
    assert typed != written


def test_a_stream_is_never_taken_back(datapath, bots):
    bot = P2Bot.load(MODEL, datapath=datapath, inference="greedy", persona=PERSONA)
    whole = bot.conversation(PERSONA).reply(TYPED[1])
    stream = bot.stream(TYPED[1])
    given = next(stream)
    given += next(stream)
    assert whole.startswith(given) and given[0].isupper() and given != whole
    stream.close()
    assert bot.turns[-1].text == given
    speech = bots[0].speaker.spelling.speech
    text = "i am fine . . . i have 2 , maybe 3 dogs ! and it is i ."
    grown = [text[:end] for end in range(len(text) + 1)]
    assert "".join(pieces(grown, lambda said: show(said, speech))) == show(text, speech)


def test_a_receiver_reads_it_too(bots, tmp_path, datapath, monkeypatch):
    bot, raw = bots
    assert bot.relevance(TYPED, ["I have two dogs.", "I'm a nurse."]) == raw.relevance(
        WRITTEN, ["i have two dogs.", "i am a nurse."]
    )
    typed, written = (b.impression(said, PERSONA) for b, said in ((bot, TYPED), (raw, WRITTEN)))
    assert [found.score for found in typed] == [found.score for found in written]
    assert {found.utterance for found in typed} <= set(TYPED)
    assert bot.perceive(TYPED[1], PERSONA) == raw.perceive(WRITTEN[1], PERSONA)
    assert bot.perceive(TYPED[1], PERSONA) != raw.perceive(TYPED[1], PERSONA)
    file = tmp_path / "dialogue.txt"
    file.write_text("your persona: I have two dogs.\n" + "\n".join(TYPED))
    shown = {}
    module = "p2bot_parlai.scripts.relevance_map.draw_relevance_map"
    monkeypatch.setattr(module, lambda U, said, persona, path: shown.update(said=said))
    given = {"model_file": RECEIVER, "datapath": datapath, "dialogue": str(file)}
    maps = [RelevanceMap.main(**given, raw_text=raw_text) for raw_text in (False, True)]
    assert np.allclose(maps[0], raw.relevance(WRITTEN, ["i have two dogs."]))
    assert not np.allclose(*maps) and shown["said"] == TYPED


@pytest.mark.parametrize("task", ["interactive", "p2bot:chat"])
def test_the_terminal_chat(task, heard, monkeypatch, capsys, datapath, bots, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = {"model_file": MODEL, "task": task, "datapath": datapath, "loglevel": "error"}
    given["persona"] = "I have two dogs.|I work as a nurse."
    commands = ["/why", "/save Chat.json"] if task == "p2bot:chat" else []
    type_in(monkeypatch, TYPED[1], *commands)
    Interactive.main(**given)
    output = capsys.readouterr().out
    told = "your persona: i have two dogs.\nyour persona: i work as a nurse."
    assert [text for text in heard if text] == [told, WRITTEN[1]]
    answer = bots[0].conversation(PERSONA).reply(TYPED[1])
    assert answer in output and "  I have two dogs.\n" in output
    if commands:
        saved = (tmp_path / "Chat.json").read_text()
        assert TYPED[1] in saved and answer in saved
        score = dict(bots[1].perceive(WRITTEN[1], PERSONA))[PERSONA[0]]
        assert f"{score:6.2f}  I have two dogs." in output.split(f"you: {TYPED[1]}")[1]
    heard.clear()
    type_in(monkeypatch, TYPED[1])
    Interactive.main(**given, raw_text=True)
    assert [text for text in heard if text][1] == TYPED[1]


def test_no_persona_is_said_at_the_start(monkeypatch, capsys, datapath):
    type_in(monkeypatch)
    Interactive.main(model_file=MODEL, datapath=datapath, loglevel="error")
    assert "The bot's persona:\n  (no persona)" in capsys.readouterr().out


def test_self_chat_is_shown_as_people_write_and_heard_as_in_the_corpus(
    heard, capsys, datapath, tmp_path
):
    given = {"persona": "I have two dogs.", "partner_persona": "I work as a nurse."}
    SelfChat.main(
        **{"model_file": MODEL, "task": "convai2", "datapath": datapath, "loglevel": "error"},
        **{"num_self_chats": 1, "selfchat_max_turns": 3, "outfile": str(tmp_path / "log"), **given},
    )
    output = capsys.readouterr().out
    spoken = [text for text in heard if text and "persona:" not in text]
    assert spoken and all(text == text.lower() for text in heard if text)
    assert " ." not in output and " ?" not in output
    assert any(line.split("]: ")[-1][:1].isupper() for line in output.splitlines() if "]: " in line)
