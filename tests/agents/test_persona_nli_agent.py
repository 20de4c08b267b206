"""The entailment classifier: both pairings, learning, reports, saving, resuming, bad input."""

import pairs
import pytest
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones.encoder import random_encoder
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.method.tokenizers import SentenceTokenizer
from p2bot_parlai.metrics.nli import LABELS, PAIRINGS, PersonaNli, load_judge, pair_features

TEXTS = [
    ("i like tea .", "i enjoy tea."),
    ("i hate milk . " * 9, "i enjoy milk."),
    ("rice !", "i work as a baker in a small town by the sea."),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pairs.write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory, folder):
    path = str(tmp_path_factory.mktemp("nli") / "model")
    pairs.train(folder, path, max_train_steps=150, learningrate=5e-3, seed=1)
    return path


def test_features_of_a_pair():
    u, v = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 4.0])
    assert pair_features(u, v).tolist() == [1, -2, 3, 4, 2, 6, 3, -8]


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_batch_equals_one_by_one_and_order_matters(pairing):
    torch.manual_seed(0)
    tokenizer = SentenceTokenizer.train([t for pair in TEXTS for t in pair], 300)
    network = PersonaNli(random_encoder(len(tokenizer), 16, 1, 2, 0.0), pairing, 0.0).eval()
    together = network(TEXTS, tokenizer)
    assert together.shape == (3, len(LABELS))
    for pair, row in zip(TEXTS, together, strict=True):
        assert torch.allclose(network([pair], tokenizer)[0], row, atol=1e-5)
        assert not torch.allclose(network([pair[::-1]], tokenizer)[0], row, atol=1e-3)


def test_it_learns_what_words_alone_do_not_tell(folder, model_file):
    report = pairs.evaluate(folder, model_file)
    assert report["accuracy"] > 0.85  # chance is 1/3
    assert report["exs"] == len(pairs.labelled())
    for label in LABELS:
        assert report[f"class_{label}_f1"] > 0.8


def test_the_report_is_that_of_the_answers(folder, model_file):
    judge = load_judge(model_file)
    known = pairs.labelled()
    found = judge.labels([pair[:2] for pair in known])
    report = pairs.evaluate(folder, model_file)
    right = [a == pair[2] for a, pair in zip(found, known, strict=True)]
    assert report["accuracy"] == pytest.approx(sum(right) / len(right))
    both = sum(a == p[2] == "negative" for a, p in zip(found, known, strict=True))
    either = found.count("negative") + sum(p[2] == "negative" for p in known)
    assert report["class_negative_f1"] == pytest.approx(2 * both / either)


def test_a_judge_classifies_each_pair_once(model_file, monkeypatch):
    judge = load_judge(model_file)
    assert not any(p.requires_grad for p in judge.network.parameters())
    asked, forward = [], judge.network.forward
    monkeypatch.setattr(
        judge.network, "forward", lambda texts, t: asked.extend(texts) or forward(texts, t)
    )
    found = judge.labels([TEXTS[0], TEXTS[1], TEXTS[0], ("  ", "i enjoy tea.")])
    assert found[0] == found[2] and found[3] == "neutral"
    judge.labels([TEXTS[1]])
    assert asked == TEXTS[:2]


def test_every_parameter_changes_in_training(folder, tmp_path):
    pairs.train(folder, tmp_path / "a", max_train_steps=1, learningrate=0.0, seed=1)
    pairs.train(folder, tmp_path / "b", max_train_steps=3, learningrate=0.01, seed=1)
    first, second = (read_model_file(str(tmp_path / name))["model"] for name in "ab")
    assert first.keys() == second.keys()
    assert not [name for name in first if torch.equal(first[name], second[name])]


def test_a_saved_model_needs_no_option_and_refuses_others(folder, model_file):
    agent = create_agent_from_model_file(model_file, {"loglevel": "error"})
    agent.observe(Message(text="i like tea .\ni enjoy tea.", episode_done=True))
    assert agent.act()["text"] in LABELS
    with pytest.raises(P2botError, match="--pairing bi contradicts"):
        pairs.evaluate(folder, model_file, model="p2bot/persona_nli", pairing="bi")


def test_a_message_of_another_form_names_the_task(model_file):
    agent = create_agent_from_model_file(model_file, {"loglevel": "error"})
    with pytest.raises(P2botError, match="-t p2bot:persona_nli"):
        agent.observe(Message(text="hello", episode_done=True))
        agent.act()


def test_other_files_are_refused(tiny_receiver, tmp_path):
    with pytest.raises(P2botError, match="is not a classifier"):
        load_judge(tiny_receiver)
    with pytest.raises(P2botError, match="-m p2bot/persona_nli"):
        load_judge(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"update_freq": 2}, "--update-freq"),
        ({"dropout": 1.0}, "--dropout"),
        ({"text_truncate": 2}, "--text-truncate"),
    ],
)
def test_impossible_options_are_named(folder, tmp_path, options, named):
    with pytest.raises(P2botError, match=named):
        pairs.train(folder, tmp_path / "model", max_train_steps=1, **options)
