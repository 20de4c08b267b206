"""parlai interactive -t p2bot:chat: its commands, and how it ends."""

import json
import signal

import pytest
from parlai.scripts.interactive import Interactive
from terminal import at_a_terminal, type_in

from p2bot_parlai.chat.commands import HELP, Chat, save
from p2bot_parlai.chat.personas import persona_text
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.method.tokenizers import P2botTokenizer

TEA, DOGS = "i like tea.", "i have two dogs."
TOO_LONG = "|".join(f"i have {n} dogs and {n} cats and {n} birds." for n in range(20))
RED = "\033[0;31m"


@pytest.fixture
def talk(monkeypatch, capsys, tiny_model, tmp_path):
    """Called with lines to type: what the command prints."""

    def typed(*lines, **options):
        type_in(monkeypatch, *lines)
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        given = {"model_file": tiny_model, "persona": TEA, "label_truncate": 6, **options}
        given = {name: value for name, value in given.items() if value is not None}
        Interactive.main(task="p2bot:chat", datapath=str(tmp_path), loglevel="error", **given)
        return capsys.readouterr().out

    return typed


# ------------------------------------------------------------------------------- personas
def test_without_one_somebody_is_drawn_as_the_seed_says(talk):
    first, again, other = (talk("hello", persona=None, seed=s) for s in (1, 1, 2))
    assert first == again != other
    assert first.split("The bot's persona:\n")[1].startswith("  ")
    two = talk("/reset", persona=None, seed=1).split("The bot's persona:\n")[1:]
    assert len(two) == 2 and two[0] != two[1], "a new chat is with somebody else"


def test_it_can_be_changed_before_and_while_one_talks(talk, heard):
    output = talk(f"/persona {DOGS}", "hello", f"/persona {TEA}|i sing.", "and now ?", "/persona")
    assert output.count(f"The bot's persona:\n  {DOGS}") == 1
    assert output.count(f"The bot's persona:\n  {TEA}\n  i sing.") == 2
    told = [persona_text([DOGS]), "hello", persona_text([TEA, "i sing."]), "and now ?"]
    assert [text for text in heard if text] == told
    assert "needs sentences" in talk("/persona |")


def test_a_persona_that_is_too_long_ends_nothing(talk, heard):
    for lines in ((), ("hello",)):
        output = talk(*lines, f"/persona {TOO_LONG}", "hi", f"/persona {DOGS}", "better ?")
        assert "the persona takes " in output and ": shorten it; this model can read " in output
        assert output.count("[P2bot]:") == len(lines) + 1
        assert output.rstrip().endswith("CHAT DONE")


# ------------------------------------------------------------------------------- commands
def test_why_scores_the_last_exchange(talk, tiny_receiver):
    output = talk("/why", "hello", "/why", receiver=tiny_receiver, partner_persona=f"{DOGS}|{TEA}")
    assert "/why: nothing was said yet" in output
    assert output.count("against its persona") == output.count("against the bot's persona") == 1
    (score,) = load_perceiver(tiny_receiver).relevance(["hello"], [TEA])[0].tolist()
    assert f"  * {score:6.2f}  {TEA}" in output.split("you: hello")[1]
    assert output.split("against your persona:")[1].count("*") == 1


def test_why_without_a_receiver_says_what_is_missing(talk, tmp_path):
    assert "--receiver MODEL" in talk("hello", "/why")
    with pytest.raises(P2botError, match="--receiver .*nothing: there is no such file"):
        talk("hello", receiver=str(tmp_path / "nothing"))


def test_a_chat_is_saved_and_saved_again(talk, tmp_path):
    output = talk("hello", "/save chat.json", "how are you ?", "/save chat.json", "/save")
    saved = json.loads((tmp_path / "chat.json").read_text())
    assert saved["persona"] == [TEA] and saved["partner_persona"] == []
    speakers = [turn["speaker"] for turn in saved["turns"]]
    assert speakers == ["partner", "bot"] * 2
    assert [turn["text"] for turn in saved["turns"][::2]] == ["hello", "how are you ?"]
    assert output.count("wrote chat.json") == 2 and "/save FILE" in output
    assert sorted(path.name for path in tmp_path.glob("*chat*")) == ["chat.json"]


def test_saving_spares_other_files_and_says_what_failed(tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(P2botError, match="is not a chat; choose another name"):
        save(Chat(), str(tmp_path / "mine.json"))
    assert (tmp_path / "mine.json").read_text() == "{}"
    with pytest.raises(P2botError, match="No such file or directory"):
        save(Chat(), str(tmp_path / "nowhere" / "chat.json"))
    save(Chat(turns=[("a \ud83d b", "é")]), str(tmp_path / "odd.json"))
    assert json.loads((tmp_path / "odd.json").read_text())["turns"][0]["text"] == "a ? b"


def test_commands_are_listed_and_never_said(talk, heard):
    output = talk("/help", "/nope", "hello")
    assert output.count("/save FILE") == 2 and "there is no command /nope" in output
    assert all(command in output for command in HELP)
    assert heard == [persona_text([TEA]), "hello"]


def test_a_bot_that_says_nothing_is_seen(talk, monkeypatch):
    monkeypatch.setattr(P2botTokenizer, "decode", lambda *_: "")
    assert "[P2bot]: (says nothing)" in talk("hello")


# ------------------------------------------------------------------------------ the end
@pytest.mark.parametrize("lines", [[], ["hello"], ["hello", "[EXIT]"]])
def test_every_end_is_clean(talk, lines):
    output = talk(*lines)
    assert output.count("CHAT DONE") == 1
    assert output.count("[P2bot]:") == lines.count("hello")
    assert "\033" not in output, "colours are for terminals"


@pytest.mark.slow
def test_ctrl_c_at_a_terminal(tiny_model, tmp_path):
    given = ["--model-file", tiny_model, "--persona", TEA, "--datapath", str(tmp_path)]
    prompt = b"Your Message:"
    keys = [(prompt, b"/nope\n"), (prompt, b"hello\n"), (prompt, b"\x03")]
    status, text = at_a_terminal(["interactive", "-t", "p2bot:chat", *given], keys)
    assert status == -signal.SIGINT  # which a shell reports as 130
    assert text.strip().endswith("interrupted") and "Traceback" not in text
    assert "[P2bot]" in text and RED in text
