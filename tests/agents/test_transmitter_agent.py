"""The Transmitter as a ParlAI agent: its loss, its distractors, its defaults."""

import copy

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


def test_adam_is_fused_and_goes_on_from_a_state_that_was_saved_without(learner):
    """Against torch's plain form, from its state after one step."""
    weights = [torch.full((3,), 2.0, requires_grad=True) for _ in range(2)]
    gradients = torch.tensor([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])
    plain = torch.optim.Adam(weights[:1], lr=0.1, foreach=False)
    fused = learner.optim_opts()["adam"](weights[1:], lr=0.1)

    def step(optimizer, weight, gradient):
        weight.grad = gradient.clone()
        optimizer.step()

    step(plain, weights[0], gradients[0])
    # Adam's first step is as long as the learning rate, against the gradient
    torch.testing.assert_close(weights[0].detach(), torch.tensor([1.9, 2.1, 1.9]))
    weights[1].data.copy_(weights[0].data)
    fused.load_state_dict(copy.deepcopy(plain.state_dict()))
    step(plain, weights[0], gradients[1])
    step(fused, weights[1], gradients[1])
    torch.testing.assert_close(*weights)
    assert fused.state_dict()["state"][0].keys() == plain.state_dict()["state"][0].keys()
    assert all(group["fused"] for o in (fused, learner.optimizer) for group in o.param_groups)


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


def test_without_candidates_the_distractor_is_another_response_of_the_task(learner):
    said = set(learner.others.texts)
    for _ in range(5):
        seen = _example(learner.clone(), 0, label_candidates=None)
        (own,) = learner.batchify([seen]).p2bot.pieces
        ((distractor,),) = own.distractors
        assert learner.dict.vec2txt(distractor) in said


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
