"""The Transmitter as a ParlAI agent: its loss, its distractors, its defaults."""

import naive
import pytest
import tiny
import torch
from asking import PERSONA, QUESTIONS, ask_together
from parlai.core.message import Message

from p2bot_parlai.method.tokenizers import P2botTokenizer


def test_every_parameter_changes_in_training(learner):
    before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
    learner.batch_act([_example(learner.clone(), i) for i in range(4)])
    for name, parameter in learner.model.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    assert not learner.optimizer.defaults["amsgrad"]  # the paper's Adam


def _example(agent, i, **fields):
    message = {
        "text": PERSONA + QUESTIONS[i],
        "labels": [f"i live in Bern , number {i} ."],
        "label_candidates": ["i earn my money as a judge .", f"i live in Bern , number {i} ."],
        "episode_done": True,
        **fields,
    }
    return agent.observe(Message({k: v for k, v in message.items() if v is not None}))


@pytest.fixture
def learner(convai2, tiny_model, tmp_path):
    return tiny.agent(convai2, tmp_path / "model", init_model=tiny_model)


@pytest.mark.parametrize("nup_coef", [1.0, 2.5])
def test_the_loss_is_eq_1_a_token_plus_the_next_utterance_loss(
    convai2, tiny_model, tmp_path, nup_coef
):
    agent = tiny.agent(convai2, tmp_path / "m", init_model=tiny_model, nup_coef=nup_coef)
    agent.model.eval()
    rows = [_example(agent.clone(), i) for i in range(3)]
    loss = agent.compute_loss(agent.batchify(rows))

    # the same by plain passes, one response at a time
    tokens, model = agent.dict.p2bot, agent.model
    nll, nup = [], []
    for turn, _ in [seen["turns"][0] for seen in rows]:
        nll.append(-naive.log_p(model, [*turn.context, tokens.self_], turn.response))
        score, wrong = (
            naive.next_score(model, tokens, turn.context, response)
            for response in (turn.response, turn.distractors[0])
        )
        nup.append(-(score.sigmoid().log() + (1 - wrong.sigmoid()).log()) / 2)
    expected = torch.cat(nll).mean() + nup_coef * torch.stack(nup).mean()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)


def test_the_distractor_is_a_candidate_and_never_the_response(learner):
    for _ in range(20):
        ((turn, _words),) = _example(learner.clone(), 0)["turns"]
        (distractor,) = turn.distractors
        assert learner.dict.vec2txt(distractor) == "i earn my money as a judge ."


def test_several_distractors_a_response(convai2, tiny_model, tmp_path):
    agent = tiny.agent(convai2, tmp_path / "model", init_model=tiny_model, num_distractors=3)
    wrong = [f"i own {pet} ." for pet in ("a cat", "a dog", "an owl", "a goat")]
    rows = [
        _example(agent.clone(), 0, label_candidates=[*wrong, "i live in Bern , number 0 ."]),
        _example(agent.clone(), 1),  # has one other candidate only
    ]
    batch = agent.batchify(rows)
    (own,) = batch.p2bot.pieces
    assert [len(found) for found in own.distractors] == [3, 1]
    assert len({tuple(d) for d in own.distractors[0]}) == 3
    first, second = agent.batch_act(rows)
    assert first["metrics"]["nup_acc"].value() in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)
    assert second["metrics"]["nup_acc"].value() in (0, 1)


def test_without_candidates_the_distractor_comes_from_the_batch(learner):
    seen = [_example(learner.clone(), i, label_candidates=None) for i in range(3)]
    (own,) = learner.batchify(seen).p2bot.pieces
    assert all(d in own.responses for (d,) in own.distractors)
    assert all(d != r for (d,), r in zip(own.distractors, own.responses, strict=True))


def test_alone_and_without_candidates_there_is_no_distractor_and_no_crash(learner):
    reply = learner.batch_act([_example(learner.clone(), 0, label_candidates=None)])[0]
    assert "loss" in reply["metrics"] and reply["metrics"].get("nup_loss") is None


def count_tokenised(monkeypatch):
    """Texts that the tokenizer was given, from here on."""
    given, encode = [], P2botTokenizer.encode
    monkeypatch.setattr(
        P2botTokenizer, "encode", lambda self, text: given.append(text) or encode(self, text)
    )
    return given


def test_a_candidate_is_tokenised_once_whoever_ranks_it(convai2, tiny_model, monkeypatch):
    given = count_tokenised(monkeypatch)
    tiny.evaluate(convai2, tiny_model, batchsize=3, skip_generation=True)
    assert given and len(given) == len(set(given))


def test_the_losses_of_tokens_that_verbose_shows_are_those_of_the_loss(learner):
    agent = learner.clone()
    agent.show_token_details = True
    texts = ["yes .", "i live in Bern , and i own a cat ."]
    with torch.no_grad():
        replies = ask_together(agent, [{"text": "hi", "eval_labels": [text]} for text in texts])
    for text, reply in zip(texts, replies, strict=True):
        losses = [loss for _, loss in reply["token_losses"]]
        length = len(agent.dict.txt2vec(text)) + 1
        assert sum(losses[:length]) / length == pytest.approx(
            reply["metrics"]["loss"].value(), abs=1e-4
        )


def test_the_paper_is_the_default():
    from parlai.scripts.train_model import setup_args

    opt = setup_args().parse_kwargs(model="p2bot", task="convai2", model_file="unused")
    assert (opt["learningrate"], opt["num_epochs"], opt["beam_size"]) == (6.25e-5, 2, 2)
    assert (opt["alpha"], opt["inference"], opt["optimizer"]) == (0.1, "beam", "adam")
    assert (opt["text_truncate"], opt["label_truncate"]) == (256, 32)
    assert opt["model"] == "p2bot_parlai.agents.p2bot:P2botAgent"
    given = setup_args().parse_kwargs(
        model="p2bot", task="convai2", model_file="u", max_train_steps=9
    )
    assert given["num_epochs"] == -1
