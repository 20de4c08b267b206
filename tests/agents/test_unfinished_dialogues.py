"""
Examples without a label, with an empty one, or with several: a file that has them reads as the
file that a careful person would make of it, to every agent and at every batch size.
"""

import json

import pytest
import tiny
from parlai.core.params import ParlaiParser
from parlai.scripts.train_model import setup_args

from p2bot_parlai.agents.baseline import Baseline
from p2bot_parlai.agents.transmitter import TransmitterAgent
from p2bot_parlai.agents.whole_dialogues import TurnReader
from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.dialogues import read_dialogues
from p2bot_parlai.parlai_support.training_loop import P2botTrainLoop

# dialogues of (text, labels, other candidates)
Turns = list[tuple[str, list[str], list[str]]]
NO = ["no .", "maybe ?", "good day ."]
SAILOR, COOK, RUNNER, OWNER, MUTE = (
    f"your persona: {what} .\n" for what in ("i sail", "i cook", "i run", "i own a cat", "i mime")
)
ODD: list[Turns] = [
    [(SAILOR + "hi ?", ["hello ."], NO), ("bye .", [], []), ("well .", [" "], NO)],
    [(COOK + "who ?", [""], []), ("and you ?", ["a soup man ."], NO), ("so .", ["yes ."], [])],
    [(MUTE + "all alone ?", [], []), ("nobody here ?", [" "], [])],
    [(RUNNER + "run ?", [" ", "i run ."], []), ("", ["fast ."], NO[:1]), ("stop", ["no ."], [])],
    [(OWNER + "a ?", ["meow .", "miau .", "mow ."], NO), ("b ?", ["", ""], []), ("c", ["."], NO)],
]
TIDY: list[Turns] = [
    [(SAILOR + "hi ?", ["hello ."], NO)],
    [(COOK + "who ?\nand you ?", ["a soup man ."], NO), ("so .", ["yes ."], [])],
    [(RUNNER + "run ?", ["i run ."], []), ("", ["fast ."], NO[:1]), ("stop", ["no ."], [])],
    [(OWNER + "a ?", ["meow ."], [*NO, "miau .", "mow ."]), ("b ?\nc", ["."], NO)],
]
# of speed, and of what depends on how examples meet in batches
UNEQUAL = {"exps", "ctpb", "ctps", "ltpb", "ltps", "tpb", "tps"}
SMALL = {
    "p2bot": {},
    "p2bot/seq2seq": {"hiddensize": 16, "embeddingsize": 16, "numlayers": 1},
    "p2bot/kv_profile_memory": {"embedding_size": 16, "kv_memories": 10},
}
NOT_THEIRS = dict.fromkeys(("backbone", "n_layers", "n_heads", "embedding_size", "n_positions"))


def candidates(labels: list[str], others: list[str]) -> list[str]:
    return [*others, *(label for label in labels if label.strip())] if others else []


def as_fbdialog(dialogues: list[Turns]) -> str:
    lines = []
    for turns in dialogues:
        number = 0
        for text, labels, others in turns:
            *before, text = text.split("\n")
            offered = "|".join(candidates(labels, others))
            fields = [text, "|".join(labels), "", offered] if labels else [text]
            for line in [*before, "\t".join(fields).rstrip("\t")]:
                number += 1
                lines.append(f"{number} {line}")
    return "\n".join(lines) + "\n"


def as_parlai(dialogues: list[Turns]) -> str:
    lines = []
    for turns in dialogues:
        for place, (text, labels, others) in enumerate(turns, start=1):
            fields = [f"text:{text}".replace("\n", "\\n"), "labels:" + "|".join(labels)]
            if offered := candidates(labels, others):
                fields.append("label_candidates:" + "|".join(offered))
            lines.append("\t".join(fields + ["episode_done:True"] * (place == len(turns))))
    return "\n".join(lines) + "\n"


def as_conversations(dialogues: list[Turns]) -> str:
    """The first label alone, and no candidates: the form has neither."""
    lines = []
    for turns in dialogues:
        said = []
        for text, labels, _ in turns:
            spoken = [label for label in labels if label.strip()]
            said += [{"id": "a", "text": text}, {"id": "b", "text": (spoken or [None])[0]}]
        lines.append(json.dumps({"dialog": [said]}))
    return "\n".join(lines) + "\n"


FORMS = {
    "fromfile:fbformat": (as_fbdialog, "fromfile_datapath"),
    "fromfile:parlaiformat": (as_parlai, "fromfile_datapath"),
    "jsonfile": (as_conversations, "jsonfile_datapath"),
}


def write(folder, form: str, dialogues: list[Turns], name: str) -> dict:
    """Options that read the dialogues from a file."""
    writer, option = FORMS[form]
    path = folder / f"{name}.txt"
    path.write_text(writer(dialogues), encoding="utf-8")
    return {"task": form, option: str(path)}


@pytest.fixture(scope="module")
def models(tmp_path_factory, convai2, tiny_model):
    folder = tmp_path_factory.mktemp("unfinished")

    def made(name: str) -> str:
        if name == "p2bot":
            return tiny_model
        path = folder / name.replace("/", "_")
        if not path.exists():
            given = {**NOT_THEIRS, "vocab_size": 300, "text_truncate": None, **SMALL[name]}
            given |= {"skip_generation": True} if "seq2seq" in name else {}
            tiny.train(convai2, path, model=name, seed=1, **given)
        return str(path)

    return made


@pytest.mark.parametrize(
    ("model", "form"),
    [
        *(("p2bot", form) for form in FORMS),
        ("p2bot/seq2seq", "fromfile:fbformat"),
        ("p2bot/kv_profile_memory", "fromfile:parlaiformat"),
    ],
)
def test_metrics_are_those_of_the_tidy_file(convai2, tmp_path, models, model, form):
    def reports_of(name, dialogues, sizes):
        given = write(tmp_path, form, dialogues, name) | {"label_truncate": 8}
        for size in sizes:
            report = tiny.evaluate(convai2, models(model), batchsize=size, **given)
            yield {k: v for k, v in report.items() if k not in UNEQUAL}

    (expected,) = reports_of("tidy", TIDY, (7,))
    assert expected["exs"] == 8
    reports = list(reports_of("odd", ODD, (1, 2, 7)))
    for report in reports[1:]:
        assert report == pytest.approx(reports[0], rel=1e-4)
    for report in reports:
        # several labels: the best counts, as everywhere in ParlAI
        for name in ("hits@1", "f1", "precision", "recall", "accuracy", "bleu-4"):
            if name in report:
                assert report[name] >= expected[name]
                report[name] = expected[name]
        assert report == pytest.approx(expected, rel=1e-4)


def test_hits_leave_out_what_cannot_be_ranked(convai2, tmp_path, tiny_model):
    """The label is not among the candidates: no hit, and no miss."""
    texts = ["text:hi ?\tlabels:good .\tlabel_candidates:bad .|good .\tepisode_done:True"]
    for unknown in range(2):
        path = tmp_path / "file.txt"
        path.write_text("\n".join(texts), encoding="utf-8")
        given = {"task": "fromfile:parlaiformat", "fromfile_datapath": str(path)}
        report = tiny.evaluate(convai2, tiny_model, skip_generation=True, **given)
        assert report["exs"] == 1 + unknown
        if unknown == 0:
            hits = report["hits@1"]
        texts.append("text:hi ?\tlabels:other .\tlabel_candidates:bad .|good .\tepisode_done:True")
    assert report["hits@1"] == hits and report["hits@100"] == 1


@pytest.fixture
def seen(monkeypatch) -> list[tuple[list[int], list[int]]]:
    """(context, response) of every example with a label that an agent learns or answers."""
    found = []

    def record(cls, examples):
        batchify = cls.batchify

        def recorded(self, messages, sort=False):
            batch = batchify(self, messages, sort=sort)
            if batch.batchsize:
                found.extend(examples(messages, batch))
            return batch

        monkeypatch.setattr(cls, "batchify", recorded)

    def turns(messages, batch):
        if batch.is_training:
            read = [turn for message in messages for turn, _ in message.get("turns", ())]
            return [(turn.context, turn.response) for turn in read]
        told = zip(batch.p2bot.contexts, batch.p2bot.responses, strict=True)
        return [(context, response) for context, response in told if response]

    def rows(messages, batch):
        vectors = zip(batch.text_vec.tolist(), batch.label_vec.tolist(), strict=True)
        return [tuple([i for i in vec if i != 0] for vec in pair) for pair in vectors]

    record(TransmitterAgent, turns)
    record(Baseline, rows)
    return found


def learn(convai2, path, **given) -> P2botTrainLoop:
    limits = {"num_epochs": 1, "max_train_steps": None, "batchsize": 2, "seed": 3}
    limits |= {"datatype": "train:ordered", "evaltask": "convai2:self_original"}
    limits |= {"validation_max_exs": 1, "skip_generation": True}
    opt = setup_args().parse_kwargs(**tiny.options(convai2, path, **{**limits, **given}))
    return P2botTrainLoop(opt)


@pytest.mark.parametrize("form", FORMS)
def test_training_reads_the_tidy_file_once_and_evaluation_the_same(
    convai2, tmp_path, tiny_model, seen, form
):
    """Nothing is learnt from an example without a label, and an epoch has none of them."""
    odd = write(tmp_path, form, ODD[:4], "odd")
    found = []
    for given in (odd, write(tmp_path, form, TIDY[:3], "tidy")):
        loop = learn(convai2, tmp_path / "m", init_model=tiny_model, batchsize=1, **given)
        seen.clear()
        while loop.world.get_total_epochs() < 1:
            loop.world.parley()
        found.append(list(seen))
    seen.clear()
    tiny.evaluate(convai2, tiny_model, skip_generation=True, **odd)
    assert found[0] == found[1] and len(found[0]) == 6
    assert sorted(seen) == sorted(found[0])


@pytest.mark.parametrize("model", ["p2bot", "p2bot/seq2seq"])
def test_the_history_goes_on_with_the_label_that_is_learnt(convai2, tmp_path, models, model, seen):
    """It is one of several; --seed decides which."""
    ways = ["one .", "two .", "three .", "four ."]
    given = write(tmp_path, "fromfile:fbformat", [[("a ?", ways, NO), ("b ?", ["c ."], [])]], "f")
    given |= {"init_model": models(model), "model": model, "batchsize": 1}
    if model != "p2bot":
        given |= NOT_THEIRS | {"vocab_size": None, "text_truncate": None}
    runs = []
    for _ in range(2):
        loop = learn(convai2, tmp_path / "m", **given)
        seen.clear()
        for _ in range(16):
            loop.world.parley()
        runs.append(list(seen))
    assert runs[0] == runs[1]
    chosen = set()
    for (context, response), (later, _) in zip(runs[0][::2], runs[0][1::2], strict=True):
        assert later[: len(context)] == context
        assert later[len(context) + 1 :][: len(response)] == response  # behind [SELF]
        chosen.add(tuple(response))
    assert len(chosen) > 1


def test_no_alternative_is_a_distractor(convai2, tmp_path, tiny_model, monkeypatch):
    ways = ["one .", "two .", "three ."]
    given = write(tmp_path, "fromfile:fbformat", [[("a ?", ways, NO[:1])]] * 9, "f")
    drawn, read = [], TurnReader.batch

    def batch(self, rows, valid):
        drawn.extend(d for row in rows for turn, _ in row for d in turn.distractors)
        return read(self, rows, valid)

    monkeypatch.setattr(TurnReader, "batch", batch)
    loop = learn(convai2, tmp_path / "m", init_model=tiny_model, **given)
    for _ in range(5):
        loop.world.parley()
    assert {loop.agent.dict.vec2txt(ids).replace("[EOS]", "").strip() for ids in drawn} == {"no ."}


def test_a_file_without_labels_cannot_be_learnt(convai2, tmp_path, tiny_model):
    given = write(tmp_path, "fromfile:fbformat", ODD[2:3], "f")
    with pytest.raises(P2botError, match="fromfile:fbformat has no example with a label"):
        learn(convai2, tmp_path / "m", init_model=tiny_model, **given)


def test_what_follows_the_last_label_is_answered_but_not_counted(convai2, tmp_path, tiny_model):
    given = write(tmp_path, "fromfile:fbformat", ODD[2:3], "odd")
    logs = tmp_path / "logs.jsonl"
    report = tiny.evaluate(convai2, tiny_model, world_logs=str(logs), **given)
    assert "exs" not in report and "ppl" not in report
    (((asked, answer),),) = (json.loads(logs.read_text())["dialog"],)
    assert asked["text"].endswith("all alone ?\nnobody here ?") and answer["text"]


# -------------------------------------------------------------------- dialogues of a speaker
@pytest.mark.parametrize("fold", ["train", "valid"])
def test_what_a_speaker_said_is_the_same_of_both_files(convai2, tmp_path, fold):
    """What the Receiver reads, and what self-play opens with."""
    found = []
    for name, dialogues in (("odd", ODD), ("tidy", TIDY)):
        given = write(tmp_path, "fromfile:fbformat", dialogues, name)
        opt = ParlaiParser(True, False).parse_kwargs(datapath=convai2, **given, **tiny.QUIET)
        found.append(read_dialogues(opt, given["task"], fold))
    assert found[0] == found[1]
    assert found[0][1].heard_first == "who ? and you ?"
    assert found[0][3].utterances == ["meow .", "."]
