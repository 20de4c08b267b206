"""interactive and self_chat: whose persona is what, what repeats, how a chat ends."""

import json
import random
import signal
from pathlib import Path

import pytest
from convai2_files import ORIGINAL, REVISED, write_convai2
from parlai.core.params import ParlaiParser
from parlai.scripts.interactive import Interactive
from parlai.scripts.self_chat import SelfChat
from terminal import at_a_terminal, type_in

from p2bot_parlai.agents.p2bot import P2botAgent
from p2bot_parlai.chat.personas import ChatPersonas, persona_text, split_persona
from p2bot_parlai.errors import P2botError
from p2bot_parlai.tasks.chat import persona_worlds

TEA, DOGS = "i like tea.", "i have two dogs."
VARIANTS = ("convai2", "convai2:self_original", "convai2:self_revised", "convai2:both")
SHORT = {"label_truncate": 6, "loglevel": "error"}


@pytest.fixture
def heard(monkeypatch):
    """Every text that agents of ours observe, by the name of the agent."""
    texts: dict[str, list[str]] = {}
    observe = P2botAgent.observe

    def spy(self, observation):
        texts.setdefault(self.id, []).append(observation.get("text"))
        return observe(self, observation)

    monkeypatch.setattr(P2botAgent, "observe", spy)
    return texts


def talk(capsys, model, task, datapath, **options):
    """What `parlai interactive` prints."""
    capsys.readouterr()
    Interactive.main(model_file=model, task=task, datapath=str(datapath), **SHORT, **options)
    return capsys.readouterr().out


def selfchat(capsys, model, task, datapath, folder, **options):
    """What `parlai self_chat` prints, and the log that it writes."""
    capsys.readouterr()
    outfile = str(folder / "log.jsonl")
    options = {"selfchat_max_turns": 3, "outfile": outfile, **SHORT, **options}
    SelfChat.main(model_file=model, task=task, datapath=str(datapath), **options)
    log = [json.loads(line) for line in Path(outfile).read_text().splitlines()]
    return capsys.readouterr().out, log


def texts_of(log):
    return [[turn["text"] for pair in chat["dialog"] for turn in pair] for chat in log]


def block_after(output, title):
    """The indented sentences below a title."""
    lines = output.split(f"{title}:\n")[1].split("\n")
    return [line.strip() for line in lines[: [not x.startswith("  ") for x in lines].index(True)]]


def as_patterns(sentences):
    return [sentence.split("{")[0] for sentence in sentences if not sentence.startswith("{")]


# --------------------------------------------------------------------- which world
def test_self_chat_keeps_its_own_seed_option():
    parser = ParlaiParser(False, False)
    parser.add_argument("--seed", type=int, default=42)
    persona_worlds.add_chat_options(parser)
    assert parser.parse_args([])["seed"] == 42
    assert parser.parse_args(["--persona", TEA])["persona"] == TEA


# --------------------------------------------------------------------- personas
def test_a_persona_is_split_at_bars_and_empty_parts_are_ignored():
    assert split_persona(f" {TEA}||  |{DOGS}\n|") == [TEA, DOGS]
    assert split_persona("|") == split_persona("") == []
    assert persona_text([TEA], [DOGS]) == f"your persona: {TEA}\npartner's persona: {DOGS}"


def test_drawn_personas_repeat_with_the_seed_alone(convai2):
    def drawn(seed):
        opt = {"task": "convai2", "datatype": "train", "datapath": convai2, "seed": seed}
        personas = ChatPersonas(opt)
        return [personas.draw() for _ in range(5)]

    first = drawn(1)
    random.seed(99)  # nobody else's use of the random generator counts
    assert drawn(1) == first
    assert drawn(2) != first
    assert drawn(None) != drawn(None)
    assert all(a != b for a, b in first), "two speakers are two people"


def test_a_missing_file_is_named_and_chosen_personas_need_none(tmp_path):
    write_convai2(tmp_path)
    for path in (tmp_path / "ConvAI2").glob("valid_both*"):
        path.unlink()
    opt = {"task": "convai2:both", "datatype": "valid", "datapath": str(tmp_path)}
    with pytest.raises(P2botError, match=r"valid_both_original\.txt is not there"):
        ChatPersonas(opt).draw()
    chosen = ChatPersonas({**opt, "persona": TEA, "partner_persona": DOGS})
    assert chosen.draw() == [[TEA], [DOGS]]


# --------------------------------------------------------------------- interactive
@pytest.mark.parametrize("task", VARIANTS)
def test_interactive_shows_personas_and_tells_the_bot(
    capsys, monkeypatch, heard, convai2, tiny_model, task
):
    type_in(monkeypatch, "hello")
    output = talk(capsys, tiny_model, task, convai2, seed=3)
    bot, human = block_after(output, "The bot's persona"), block_after(output, "You play")
    sentences = REVISED if "revised" in task else ORIGINAL
    assert all(start in " ".join(bot) for start in as_patterns(sentences)) and bot != human
    told = persona_text(bot, human if "both" in task else ())
    assert heard["P2bot"][:2] == [told, "hello"]


def test_interactive_repeats_with_the_seed(capsys, monkeypatch, convai2, tiny_model):
    def once(seed):
        type_in(monkeypatch, "hello", "[DONE]", "hello", "again")
        options = {"seed": seed, "inference": "multinomial"}
        return talk(capsys, tiny_model, "convai2", convai2, **options)

    first = once(1)
    assert once(1) == first
    assert once(2) != first
    assert first.count("The bot's persona") == 2, "a new chat has a new persona"


def test_chosen_personas_need_neither_task_nor_data(
    capsys, monkeypatch, heard, tmp_path, tiny_model
):
    type_in(monkeypatch, "hello")
    persona = f"{TEA}|{DOGS}"
    output = talk(capsys, tiny_model, "interactive", tmp_path / "none", persona=persona)
    assert block_after(output, "The bot's persona") == [TEA, DOGS]
    assert "You play" not in output
    assert heard["P2bot"][:2] == [persona_text([TEA, DOGS]), "hello"]
    assert not (tmp_path / "none").exists()


def test_the_bots_persona_can_be_hidden(capsys, monkeypatch, heard, convai2, tiny_model):
    type_in(monkeypatch, "hello")
    hidden = {"display_partner_persona": False}
    output = talk(capsys, tiny_model, "convai2", convai2, **hidden)
    assert "bot's persona" not in output and "You play" in output
    assert heard["P2bot"][0].startswith("your persona:")


def test_convai2_none_has_no_personas(capsys, monkeypatch, heard, convai2, tiny_model):
    type_in(monkeypatch, "hello")
    output = talk(capsys, tiny_model, "convai2:none", convai2)
    assert block_after(output, "The bot's persona") == ["(no persona)"]
    assert heard["P2bot"][0] == "hello"


@pytest.mark.parametrize("lines", [[], ["[EXIT]"], ["hello"], ["hello", "[EXIT]"], ["[DONE]"]])
def test_every_end_of_a_chat_is_clean(capsys, monkeypatch, tmp_path, convai2, tiny_model, lines):
    answers = []
    act = P2botAgent.act
    monkeypatch.setattr(P2botAgent, "act", lambda bot: answers.append(act(bot)) or answers[-1])
    type_in(monkeypatch, *lines)
    outfile = tmp_path / "log.jsonl"
    output = talk(capsys, tiny_model, "convai2", convai2, outfile=str(outfile))
    assert len(answers) == lines.count("hello"), "only what is said is answered"
    assert output.count("CHAT DONE") == 1 + lines.count("[DONE]")
    assert len(outfile.read_text().splitlines()) == lines.count("hello")


@pytest.mark.parametrize("task", ["convai2", "p2bot:chat"])
@pytest.mark.parametrize("lines", [[], ["hello"], ["hello", "[DONE]"]])
def test_ctrl_c_ends_the_command_after_its_log_is_written(
    capsys, monkeypatch, tmp_path, convai2, tiny_model, task, lines
):
    type_in(monkeypatch, *lines, end=KeyboardInterrupt)
    outfile = tmp_path / "log.jsonl"
    with pytest.raises(KeyboardInterrupt):
        talk(capsys, tiny_model, task, convai2, outfile=str(outfile))
    assert len(outfile.read_text().splitlines()) == lines.count("hello")


def test_ctrl_c_while_the_bot_thinks_ends_the_command_too(
    capsys, monkeypatch, tmp_path, convai2, tiny_model
):
    answers = iter([P2botAgent.act])

    def interrupted(bot):
        for act in answers:
            return act(bot)
        raise KeyboardInterrupt

    monkeypatch.setattr(P2botAgent, "act", interrupted)
    type_in(monkeypatch, "hello", "and now ?")
    outfile = tmp_path / "log.jsonl"
    with pytest.raises(KeyboardInterrupt):
        talk(capsys, tiny_model, "convai2", convai2, outfile=str(outfile))
    (chat,) = map(json.loads, outfile.read_text().splitlines())
    assert len(chat["dialog"]) == 1, "what was answered"


@pytest.mark.slow
def test_ctrl_c_and_ctrl_d_at_a_terminal(tiny_model):
    """A real terminal: no traceback, and the exit status that a shell expects."""
    for key, status, last in ((b"\x03", -signal.SIGINT, "interrupted"), (b"\x04", 0, "CHAT DONE")):
        given = ["--model-file", tiny_model, "--persona", TEA]
        found, text = at_a_terminal(["interactive", *given], [(b"Your Message:", key)])
        assert found == status
        assert text.strip().endswith(last) and "Traceback" not in text


# --------------------------------------------------------------------- self_chat
@pytest.mark.parametrize("task", VARIANTS)
def test_self_chat_opens_from_a_persona_alone(capsys, heard, tmp_path, convai2, tiny_model, task):
    output, log = selfchat(capsys, tiny_model, task, convai2, tmp_path)
    first = block_after(output, "Persona of P2bot_1")
    second = block_after(output, "Persona of P2bot_2")
    both = "both" in task
    assert first != second
    assert heard["P2bot_1"][0] == persona_text(first, second if both else ())
    assert heard["P2bot_2"][0] == persona_text(second, first if both else ())
    said = texts_of(log)[0]
    assert len(said) == 4, "three turns of two: one gives the personas"
    assert heard["P2bot_2"][1] == said[0], "the first word is the first bot's"
    assert [c["text"] for c in log[0]["context"]] == [heard[b][0] for b in ("P2bot_1", "P2bot_2")]


@pytest.mark.parametrize("inference", ["beam", "multinomial"])
def test_self_chat_repeats_with_the_seed(capsys, tmp_path, convai2, tiny_model, inference):
    def once(seed):
        options = {"num_self_chats": 2, "seed": seed, "inference": inference}
        return selfchat(capsys, tiny_model, "convai2", convai2, tmp_path, **options)

    output, log = once(1)
    assert len(log) == 2
    assert once(1) == (output, log)
    assert once(2) != (output, log)


def test_self_chat_with_chosen_personas_needs_neither_task_nor_data(
    capsys, heard, tmp_path, tiny_model
):
    chosen = {"persona": f"{TEA}||{DOGS}", "partner_persona": DOGS}
    output, _ = selfchat(capsys, tiny_model, "self_chat", tmp_path / "none", tmp_path, **chosen)
    assert block_after(output, "Persona of P2bot_1") == [TEA, DOGS]
    assert block_after(output, "Persona of P2bot_2") == [DOGS]
    assert not (tmp_path / "none").exists()


def test_without_any_persona_parlais_own_opener_stands(capsys, heard, tmp_path, tiny_model):
    output, _ = selfchat(capsys, tiny_model, "self_chat", tmp_path, tmp_path)
    assert heard["P2bot_1"][0] == "Hi!"
    assert "Persona of" not in output


def test_openers_from_the_task_bring_no_persona(capsys, heard, tmp_path, convai2, tiny_model):
    seeded = {"seed_messages_from_task": True, "persona": TEA, "partner_persona": DOGS}
    _, log = selfchat(capsys, tiny_model, "convai2", convai2, tmp_path, **seeded)
    assert texts_of(log)[0][0].startswith("hello , i come from")
    assert heard["P2bot_2"][:2] == [persona_text([DOGS]), texts_of(log)[0][0]]


# ------------------------------------------------------------------- on the sketch corpus
def test_a_chat_on_the_sketch_corpus_has_personas(capsys, monkeypatch, heard, tmp_path, tiny_model):
    for task, told in (("p2bot:sketch", 4), ("p2bot:sketch:both", 8), ("p2bot:sketch:none", 0)):
        heard.clear()
        type_in(monkeypatch, "hello", "[EXIT]")
        talk(capsys, tiny_model, task, tmp_path, seed=1, sketch_dialogues=18, text_truncate=240)
        first = next(iter(heard.values()))[0]
        assert told <= first.count("persona:") <= told + 2 * (told > 0)
