"""ConvAI2 files of all kinds: from bytes to what a network would read."""

import fuzzing
import pytest
from convai2_files import VERSION, write_convai2
from fuzzing import cases, outcome, texts
from hypothesis import given
from hypothesis import strategies as st
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.teachers import create_task_agent_from_taskname

from p2bot_parlai.chat.personas import load_personas
from p2bot_parlai.method.context import OWN_PERSONA, PARTNER_PERSONA
from p2bot_parlai.parlai_support.dialogues import PersonaFold, episodes, read_dialogues
from p2bot_parlai.parlai_support.mutators import ANSWERED, WHOLE_DIALOGUE
from p2bot_parlai.tools.human_eval.sampling import read_samples

TASK = "convai2:self_original"
FILES = ("train_self_original", "valid_self_original")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed") / "ConvAI2"
    folder.mkdir()
    (folder / ".built").write_text(f"2020-01-01\n{VERSION}")
    return folder


@pytest.fixture(scope="module")
def agent(tiny_model):
    return create_agent_from_model_file(tiny_model, {"loglevel": "error", "batchsize": 4})


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    write_convai2(folder, dialogues=2)
    return (folder / "ConvAI2/valid_self_original.txt").read_bytes()


def options(home, **more) -> Opt:
    given_ = {
        "model": "p2bot",
        "task": TASK,
        "datatype": "train:ordered",
        "datapath": str(home.parent),
    }
    return Opt({**given_, "batchsize": 1, "hide_labels": False, "label_truncate": None, **more})


def write(home, content: bytes) -> None:
    for name in FILES:
        (home / f"{name}.txt").write_bytes(content)


# ------------------------------------------------------------------------------ strategies
SPEECH = texts(breaks=False, max_parts=4)
CANDIDATES = st.lists(SPEECH, max_size=4).map("|".join)
BODIES = st.one_of(
    st.tuples(st.sampled_from((OWN_PERSONA, PARTNER_PERSONA)), SPEECH).map(" ".join),
    st.tuples(SPEECH, SPEECH).map("\t".join),
    st.tuples(SPEECH, SPEECH, st.sampled_from(("", "0", "1e400", "nan", "x")), CANDIDATES).map(
        "\t".join
    ),
    st.tuples(SPEECH, SPEECH, CANDIDATES).map(lambda p: f"{p[0]}\t{p[1]}\t\t{p[2]}|{p[1]}"),
    st.lists(SPEECH, max_size=6).map("\t".join),
    texts(),
)
ODD_NUMBERS = st.sampled_from(("", "0", "-1", "1", "x", "²", "1.5", "9" * 5000, "\ufeff1", "١"))


@st.composite
def convai2_text(draw) -> str:
    """Lines that are numbered as they should be, mostly."""
    lines = []
    for _ in range(draw(st.integers(1, 2))):
        bodies = draw(st.lists(BODIES, min_size=1, max_size=5))
        lines += [f"{number} {body}" for number, body in enumerate(bodies, start=1)]
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(lines) - 1))
        lines[place] = draw(ODD_NUMBERS) + lines[place].lstrip("0123456789")
    end = draw(st.sampled_from(("\n", "\n", "\r\n", "\r", "\n\n")))
    return end.join(lines) + draw(st.sampled_from((end, end, "")))


@st.composite
def contents(draw, sound) -> bytes:
    return draw(
        st.one_of(
            *[convai2_text().map(fuzzing.encoded)] * 3,
            fuzzing.damaged(sound),
            st.binary(max_size=40).map(b"1 ".__add__),
        )
    )


GOOD_TURN = st.tuples(fuzzing.sentences(), fuzzing.sentences())
GOOD_DIALOGUE = st.tuples(
    st.lists(fuzzing.sentences(), min_size=1, max_size=3),
    st.lists(GOOD_TURN, min_size=1, max_size=3),
)


# ---------------------------------------------------------------------------- properties
@cases(40)
@given(st.data())
def test_a_file_is_read_or_refused(home, sound, data):
    """By everything that reads it: the teacher, the personas of a chat, perception, sampling."""
    _read_or_refused(home, data.draw(contents(sound)))


def _read_or_refused(home, content):
    write(home, content)
    read, refused = outcome(_episodes, options(home))
    if not refused:
        assert read
        for episode in read:
            assert episode[-1]["episode_done"] and not any(m["episode_done"] for m in episode[:-1])
            for message in episode:
                labels = message.get("labels") or ()
                assert all(isinstance(text, str) for text in (message.get("text", ""), *labels))
                if labels and "label_candidates" in message:
                    assert labels[0] in message["label_candidates"]
    personas, _ = outcome(load_personas, options(home))
    assert all(persona and all(persona) for persona in personas or ())
    dialogues, _ = outcome(read_dialogues, options(home), TASK, "train")
    if dialogues:
        assert not refused and len(dialogues) == len(read)
        fold = PersonaFold(dialogues, TASK, 1)
        assert all(fold.own_sentences(index) for index in range(len(fold)))
    samples, refused_too = outcome(read_samples, options(home), TASK)
    assert bool(refused) == bool(refused_too)
    assert refused or len(samples) == sum(map(len, read))


def _episodes(opt):
    return list(episodes(create_task_agent_from_taskname(opt)[0]))


@cases()
@given(st.lists(GOOD_DIALOGUE, min_size=1, max_size=3), st.sampled_from(("\n", "\r\n")))
def test_a_sound_file_is_read_as_it_was_written(home, dialogues, end):
    lines = []
    for persona, turns in dialogues:
        told = [f"{OWN_PERSONA} {sentence}" for sentence in persona]
        said = [f"{heard}\t{reply}\t\tsomething else|{reply}" for heard, reply in turns]
        lines += [f"{number} {line}" for number, line in enumerate([*told, *said], start=1)]
    write(home, (end.join(lines) + end).encode())
    found = read_dialogues(options(home), TASK, "train")
    assert [(d.persona, d.heard_first) for d in found] == [(p, t[0][0]) for p, t in dialogues]
    assert [d.utterances for d in found] == [[reply for _, reply in t] for _, t in dialogues]


@cases(40)
@given(st.data())
def test_what_is_read_becomes_batches(home, sound, agent, data):
    """Turn by turn as in evaluation, and whole dialogues as in training."""
    write(home, data.draw(contents(sound)))
    read, refused = outcome(_episodes, options(home, datatype="valid"))
    if refused:
        return
    for episode in read[:2]:
        one = agent.clone()
        for message in episode[:3]:
            seen, refused = outcome(one.observe, message)
            if refused:
                assert "--text-truncate" in refused
                break
            check_ids(one, one.batchify([seen]))
            one.self_observe(Message({"text": "so", "episode_done": message["episode_done"]}))
    mutated = options(home, mutators=f"{ANSWERED}+{WHOLE_DIALOGUE}")
    for episode in _episodes(mutated)[:2]:
        one = agent.clone()
        seen, refused = outcome(one.observe, episode[0])
        if not refused and "dialogue" in episode[0]:
            check_packed(one, one.batchify([seen]), episode[0]["dialogue"])


def check_ids(agent, batch):
    (context,) = batch.p2bot.contexts
    assert len(context) <= agent.text_truncate
    assert min(context, default=0) >= 0 and max(context, default=0) < len(agent.dict)
    for vectors, offered in zip(batch.candidate_vecs or (), batch.candidates or (), strict=True):
        assert len(vectors) == len(offered)
        assert all(0 < len(ids) <= agent.label_truncate for ids in vectors)


def check_packed(agent, batch, turns):
    (own,), size = batch.p2bot.pieces, len(agent.dict)
    packed, responses = own.packed, own.responses
    assert batch.batchsize == len(turns) == len(responses)
    assert packed.inputs.min() >= 0 and packed.inputs.max() < size
    assert packed.targets[packed.target_mask].tolist() == sum(responses, [])
    for row, response in enumerate(responses):
        assert packed.targets[row, : len(response)].tolist() == response
