"""``parlai import_original`` on files that the tests make in the released form."""

import json
import math
import os
from pathlib import Path

import pytest
import tiny
import torch
from original_files import (
    HEAD_SIZE,
    Reference,
    a_bert,
    bert_states,
    write_bert_vocabulary,
    write_file,
    write_vocabulary,
)
from parlai.core.agents import create_agent_from_model_file
from parlai.core.params import ParlaiParser
from parlai.core.teachers import create_task_agent_from_taskname

from p2bot_parlai import P2Bot
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.context import parse_message
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.scripts.export_hf import ExportHf
from p2bot_parlai.scripts.import_original import ImportOriginal
from p2bot_parlai.tools.original.reading import read_weights

PERSONA = ["I eat soup every day.", "i live in Bern."]
TURNS = [
    (False, "Hello , where do you live ?"),
    (True, "in Bern ."),
    (False, "and what do you eat ?"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    write_vocabulary(folder / "gpt")
    write_bert_vocabulary(folder / "bert")
    return folder


@pytest.fixture(scope="module")
def reference(home) -> Reference:
    return Reference(home / "gpt")


@pytest.fixture(scope="module")
def bert(home):
    return a_bert(home / "bert")


@pytest.fixture(scope="module")
def imported(home, reference, bert) -> Path:
    """A folder with both models, from files whose optimizers hold objects of a lost library."""
    ImportOriginal.main(
        transmitter=write_file(home / "transmitter.model", reference.states()),
        receiver=write_file(home / "receiver.model", bert_states(bert)),
        outfile=str(home / "models"),
        **vocabularies(home),
    )
    return home / "models"


@pytest.fixture(scope="module")
def agent(imported):
    return create_agent_from_model_file(str(imported / "transmitter"), tiny.QUIET)


def vocabularies(home) -> dict:
    return {
        "tokenizer": str(home / "gpt"),
        "encoder_tokenizer": str(home / "bert"),
        "head_size": HEAD_SIZE,
    }


def examples(datapath) -> list[tuple]:
    """(context of the released code's form, label, candidates) of the validation file."""
    given = {"task": "convai2:self_original", "datapath": datapath, "datatype": "valid"}
    opt = ParlaiParser(True, False).parse_kwargs(**given, **tiny.QUIET)
    teacher = create_task_agent_from_taskname(opt)[0]
    found, persona, turns = [], [], []
    while not teacher.epoch_done():
        message = teacher.act()
        said = parse_message(message["text"])
        if said.persona:
            persona, turns = said.persona, []
        turns.append((False, said.utterance))
        label = message["eval_labels"][0]
        found.append((persona, list(turns), label, message["label_candidates"]))
        turns.append((True, label))
    return found


# ------------------------------------------------------------------------ the Transmitter
@pytest.mark.slow
@pytest.mark.parametrize("limit", [256, 90])
def test_eval_model_finds_what_the_released_code_would(imported, reference, convai2, limit):
    """ppl and hits@1, turn by turn, by a reference that reads everything anew."""
    losses, hits, cut = [], [], 0
    for persona, turns, label, candidates in examples(convai2):
        context = reference.context(persona, turns, limit)
        cut += reference.context(persona, turns, 10**6) != context
        losses.append(reference.read(context, reference.response(label))[0])
        scores = [reference.read(context, reference.response(c))[1] for c in candidates]
        hits.append(candidates[scores.index(max(scores))] == label)
    assert bool(cut) == (limit == 90)
    given = {"skip_generation": True, "text_truncate": limit}
    report = tiny.evaluate(convai2, imported / "transmitter", **given)
    assert report["ppl"] == pytest.approx(math.exp(torch.cat(losses).mean()), rel=1e-4)
    assert report["hits@1"] == pytest.approx(sum(hits) / len(hits))


def test_it_says_what_the_released_code_would(imported, reference):
    bot = P2Bot.load(str(imported / "transmitter"), inference="greedy")
    bot.persona = PERSONA
    turns = []
    for text in ("Hello , where do you live ?", "and what do you eat ?"):
        turns.append((False, text))
        context = reference.context(PERSONA, turns)
        expected = reference.greedy(context, longest=31)  # the 32nd is the end
        said = bot.reply(text)
        kept = [i for i in expected if i not in reference.ids.values()]
        assert said == reference.tokenizer.decode(kept).strip()
        turns.append((True, said))


def test_the_form_is_saved_with_the_model_and_stays(imported, convai2, tmp_path):
    opt = json.loads((imported / "transmitter.opt").read_text())
    assert opt["context_style"] == "original" and opt["text_truncate"] == 256
    assert not {"datapath", "model_file", "parlai_home", "override"} & set(opt)
    with pytest.raises(P2botError, match="--context-style append contradicts"):
        tiny.evaluate(convai2, imported / "transmitter", context_style="append")
    tiny.train(convai2, tmp_path / "m", **follows(imported), max_train_steps=2)
    again = json.loads((tmp_path / "m.opt").read_text())
    assert again["context_style"] == "original"
    assert tiny.evaluate(convai2, tmp_path / "m", num_examples=2, skip_generation=True)["ppl"] > 1


def follows(imported) -> dict:
    """A run that begins from the imported model."""
    shape = ("backbone", "n_layers", "n_heads", "embedding_size", "n_positions", "vocab_size")
    return {
        "init_model": str(imported / "transmitter"),
        **dict.fromkeys(shape),
        "text_truncate": 128,
    }


def test_it_plays_with_itself_and_learns(imported, convai2, tmp_path):
    report, _ = tiny.train(
        convai2,
        tmp_path / "m",
        **follows(imported),
        task="p2bot:selfplay",
        evaltask="p2bot:selfplay",
        receiver=str(imported / "receiver"),
        language_model=str(imported / "transmitter"),
        batchsize=2,
        max_train_steps=1,
        validation_max_exs=2,
        validation_metric="reward",
        validation_metric_mode="max",
    )
    assert {"style", "coherence", "persona"} <= set(report)
    assert json.loads((tmp_path / "m.opt").read_text())["context_style"] == "original"


def test_it_can_be_exported(imported, reference, agent, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ExportHf.main(model_file=str(imported / "transmitter"), out=str(tmp_path / "hf"))
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "hf"))
    messages = [{"role": "system", "content": "\n".join(PERSONA)}]
    messages += [{"role": "assistant" if own else "user", "content": text} for own, text in TURNS]
    ids = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=False, add_generation_prompt=True
    )
    assert ids == [*reference.context(PERSONA, TURNS), reference.ids["<start>"]]
    model = AutoModelForCausalLM.from_pretrained(str(tmp_path / "hf"))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits
        torch.testing.assert_close(logits, reference.model(torch.tensor([ids])).logits)


# --------------------------------------------------------------------------- the Receiver
def test_both_encoders_give_the_vectors_of_the_one_bert(imported, bert, home):
    perceiver = load_perceiver(str(imported / "receiver"))
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(str(home / "bert"))
    texts = ["I eat soup every day .", "no"]
    for segment, found in ((0, perceiver.impressions(texts)), (1, perceiver.profiles(texts))):
        for text, vector in zip(texts, found, strict=True):
            ids = [2, *tokenizer(text, add_special_tokens=False)["input_ids"]]
            with torch.no_grad():
                states = bert(
                    torch.tensor([ids]), token_type_ids=torch.full((1, len(ids)), segment)
                ).last_hidden_state
            torch.testing.assert_close(vector, states[0].mean(dim=0), atol=1e-5, rtol=1e-4)
    assert perceiver.tau == pytest.approx(1 / 1.5)


def test_old_names_of_layer_norms(bert, home, tmp_path):
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in bert_states(bert).items()
    }
    path = write_file(tmp_path / "file", renamed)
    ImportOriginal.main(receiver=path, outfile=str(tmp_path / "out"), **vocabularies(home))
    assert load_perceiver(str(tmp_path / "out/receiver")).network.width == 16


# ------------------------------------------------------------------- what must not happen
class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["opt", "optimizer", "model"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, reference, place, zipped):
    trap = tmp_path / "ran"
    states = {"model": reference.states(), "opt": {}}
    if place == "model":
        states["model"]["linear.weight"] = Malicious(f"touch {trap}")
    else:
        states[place] = {"x": Malicious(f"touch {trap}")}
    torch.save(states, tmp_path / "file", _use_new_zipfile_serialization=zipped)
    with pytest.raises(P2botError, match=r"system, which could run code; nothing was run") as error:
        read_weights(str(tmp_path / "file"), "--transmitter")
    assert "\n" not in str(error.value)
    assert not trap.exists()
    torch.load(tmp_path / "file", weights_only=False)  # the trap does work
    assert trap.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_file_is_one_line(tmp_path, reference, content):
    path = write_file(tmp_path / "file", reference.states())
    if content is None:
        Path(path).write_bytes(Path(path).read_bytes()[:-500])
    else:
        Path(path).write_bytes(content)
    with pytest.raises(P2botError, match="--transmitter .*file cannot be read: it is damaged"):
        read_weights(path, "--transmitter")


@pytest.mark.parametrize("states", [[1], {"weights": {}}, {"model": {"a": 1}}, {"model": None}])
def test_another_kind_of_file(tmp_path, states):
    torch.save(states, tmp_path / "file")
    with pytest.raises(P2botError, match="is not a model file of the released code"):
        read_weights(str(tmp_path / "file"), "--transmitter")


def changed(weights: dict, **changes) -> dict:
    found = dict(weights)
    for name, tensor in changes.items():
        name = name.replace("__", ".")
        if tensor is None:
            del found[name]
        else:
            found[name] = tensor
    return found


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"linear__weight": None}, "has no linear.weight: it is another kind of model"),
        ({"linear__weight": torch.zeros(3, 16)}, r"linear.weight has shape \(3, 16\)"),
        ({"start_tensor": torch.tensor([1])}, "not trained with the vocabulary of --tokenizer"),
        ({"more": torch.zeros(1)}, "has weights that no released model has: more"),
        (
            {"transformer_module__transformer__h__0__ln_1__weight": None},
            "h.0.ln_1.weight is missing",
        ),
        (
            {"transformer_module__lm_head__decoder__weight": torch.zeros(2, 16)},
            "the output matrix is not the token embedding",
        ),
    ],
)
def test_what_does_not_fit_is_named(home, reference, tmp_path, changes, message):
    path = write_file(tmp_path / "file", changed(reference.states(), **changes))
    with pytest.raises(P2botError, match=message):
        ImportOriginal.main(transmitter=path, outfile=str(tmp_path / "out"), **vocabularies(home))
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"transmitter": None}, "name the files to convert"),
        ({"outfile": None}, "name an output folder with --outfile DIR"),
        ({"transmitter": "nothing"}, "--transmitter nothing: there is no such file"),
        ({"head_size": 5}, "--head-size 5: the width of --transmitter .* is 16"),
    ],
)
def test_wrong_options_are_named(home, imported, tmp_path, changes, message):
    given = {"transmitter": str(home / "transmitter.model"), "outfile": str(tmp_path / "out")}
    given = {**given, **vocabularies(home), **changes}
    with pytest.raises(P2botError, match=message):
        ImportOriginal.main(**{name: v for name, v in given.items() if v is not None})
