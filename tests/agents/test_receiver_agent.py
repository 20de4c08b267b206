"""The Receiver as a ParlAI agent: loss, tau, metrics, caches, saving, bad input."""

import people
import pytest
import torch
from asking import ask_together
from parlai.core.agents import create_agent_from_model_file
from parlai.scripts.build_dict import build_dict

from p2bot_parlai.agents.perception import Question
from p2bot_parlai.agents.receiver import training_candidates
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method import receiver
from p2bot_parlai.method.model_files import load_perceiver

LONG = "we talked about lemons and boats and grapes and horses for hours and hours " * 4
MESSAGES = [
    {
        "text": "look at these lemons !\nuncle has kites .",
        "eval_labels": ["i collect lemons.\nmy uncle sells kites."],
        "label_candidates": ["i collect drums.", "i collect lemons.\nmy uncle sells kites."],
    },
    {
        "text": "please no boats .",
        "eval_labels": ["i'm afraid of boats."],
        "label_candidates": ["i dream of flutes.\ni sing.\ni dance.", "i'm afraid of boats."],
    },
    {
        "text": f"hello\n{LONG}\nbye\nsee you\nhave fun",
        "eval_labels": [f"i collect grapes.\n{LONG}"],
        "label_candidates": [f"i collect grapes.\n{LONG}", "i own a candle.", "i sleep."],
    },
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return people.write_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory, folder):
    path = str(tmp_path_factory.mktemp("receiver") / "model")
    people.train(folder, path)
    return path


@pytest.fixture(scope="module")
def trained(model_file):
    return create_agent_from_model_file(model_file, {"loglevel": "error"})


def fresh(folder, tmp_path, **changes):
    """An agent in training, with a dictionary learnt from the task."""
    given = {"dict_file": str(tmp_path / "model.dict"), **changes}
    opt = people.options(folder, tmp_path / "model", **given)
    build_dict(people.setup_args().parse_kwargs(**opt))
    return people.agent(folder, tmp_path / "model", **given)


def training_messages(count=4) -> list[dict]:
    def persona(number):
        return "\n".join(
            s.format(t) for s, t in zip(people.ORIGINAL, people.person(number), strict=True)
        )

    return [
        {
            "text": f"look at these {people.THINGS[n]} !",
            "labels": [persona(n)],
            "label_candidates": [persona(n), persona(n + 1)],
            "candidate_people": [n, n + 1],
        }
        for n in range(count)
    ]


def test_responses_are_no_personas(folder, tmp_path):
    """It learnt from the candidates of convai2 as if each were a persona."""
    message = {"text": "your persona: i ski .\nhi", "label_candidates": ["hello .", "bye ."]}
    for text in (message["text"], "hi"):
        with pytest.raises(P2botError, match="-t p2bot:persona_perception"):
            Question.read({**message, "text": text, "labels": ["hello ."]})


# ----------------------------------------------------------------------------- training
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"share_encoders": True},
        {"negatives": "batch", "loss": "softmax", "word_dropout": 0.2},
        {"one_sided_dropout": 0.5},
        {"precision": "bf16", "lr_scheduler": "linear"},
    ],
)
def test_every_parameter_changes_in_training(folder, tmp_path, options):
    agent = fresh(folder, tmp_path, **options)
    before = {name: p.detach().clone() for name, p in agent.model.named_parameters()}
    torch.manual_seed(0)
    for _ in range(3):
        ask_together(agent, training_messages())
    # position embeddings beyond the longest sentence never learn, the others do
    still = [n for n, p in agent.model.named_parameters() if torch.equal(p, before[n])]
    assert not still


def test_loss_equals_a_loop_over_dialogues(folder, tmp_path):
    agent = fresh(folder, tmp_path, dropout=0.0)
    questions = [Question.read(message) for message in training_messages()]
    agent.perceiver.tau = 2.0
    hinge, norm, c, _ = agent._loss(questions)
    network, tokenizer = agent.network, agent.dict.p2bot
    for row, question in enumerate(questions):
        H = network.impression([tokenizer.encode(u) for u in question.utterances])
        scores, norms = [], []
        for text in question.candidates:
            W = network.persona([tokenizer.encode(s) for s in text.split("\n")])
            U = receiver.relevance(H, W)
            every = torch.ones(1, dtype=torch.bool)
            scores.append(receiver.aggregate(U, every, 2.0).mean())
            norms.append(U.abs().sum())
        assert c[row, 0].item() == pytest.approx(scores[0].item(), rel=1e-4)
        assert hinge[row].item() == pytest.approx(
            max(0, 0.4 + scores[1].item() - scores[0].item()), rel=1e-4
        )
        assert norm[row].item() == pytest.approx(1e-4 * sum(norms).item(), rel=1e-4)


def test_distractors_of_the_batch_are_other_people():
    questions = [Question.read(message) for message in training_messages(3)]
    personas, allowed = training_candidates(questions, whole_batch=True)
    assert allowed.shape == (3, 1 + 4)  # itself, and the four personas of the batch
    for question, candidates, others in zip(questions, personas, allowed, strict=True):
        own = question.truth.split("\n")
        assert candidates[0] == own and not others[0]
        for candidate, other in zip(candidates[1:], others[1:], strict=True):
            assert other == (candidate != own)


# ---------------------------------------------------------------------------------- tau
def test_tau_follows_the_run_is_saved_resumes_and_stays_in_evaluation(folder, tmp_path):
    agent = fresh(folder, tmp_path)
    assert agent.perceiver.tau == 10
    for share, tau in ((0.0, 10.0), (1.0, 0.5), (0.5, 5.25)):
        agent.set_progress(share)
        assert agent.perceiver.tau == pytest.approx(tau)
    agent.save(str(tmp_path / "model"))
    resumed = people.agent(folder, tmp_path / "model")
    assert resumed.perceiver.tau == pytest.approx(5.25)
    report = people.evaluate(folder, tmp_path / "model")
    assert report["tau"] == pytest.approx(5.25)
    another = people.agent(folder, tmp_path / "other", init_model=str(tmp_path / "model"))
    assert another.perceiver.tau == 10  # a new run begins anew


# --------------------------------------------------------------------------- evaluation
def test_a_batch_of_unequal_dialogues_equals_one_by_one(trained):
    together = ask_together(trained, MESSAGES)
    for message, reply in zip(MESSAGES, together, strict=True):
        trained.perceiver.forget()
        alone = ask_together(trained, [message])[0]
        assert alone["text_candidates"] == reply["text_candidates"]
        assert sorted(reply["text_candidates"]) == sorted(message["label_candidates"])


def test_each_distinct_sentence_is_encoded_once(folder, model_file, monkeypatch):
    from p2bot_parlai.method.backbones.encoder import SentenceEncoder

    encoded = []
    forward = SentenceEncoder.forward

    def counting(self, sentences):
        encoded.extend((id(self), sentence) for sentence in sentences)
        return forward(self, sentences)

    monkeypatch.setattr(SentenceEncoder, "forward", counting)
    people.evaluate(folder, model_file)
    assert len(encoded) == len(set(encoded)) > 50


def test_vectors_are_forgotten_when_the_weights_change(folder, tmp_path):
    agent = fresh(folder, tmp_path, learningrate=0.1)
    before = agent.perceiver.profiles(["i collect lemons."]).clone()
    assert torch.equal(agent.perceiver.profiles(["i collect lemons."]), before)
    ask_together(agent, training_messages())
    assert not torch.equal(agent.perceiver.profiles(["i collect lemons."]), before)


def test_it_learns(folder, tmp_path):
    given = {"embedding_size": 32, "learningrate": 5e-3, "batchsize": 8, "negatives": "batch"}
    people.train(folder, tmp_path / "model", max_train_steps=60, **given)
    report = people.evaluate(folder, tmp_path / "model")
    assert report["hits@1"] > 0.5  # chance is 1/6


# ------------------------------------------------------------------------ save and load
def test_no_file_and_another_agents_file_are_named(tiny_model, tmp_path):
    with pytest.raises(P2botError, match="not a Receiver"):
        load_perceiver(tiny_model)
    with pytest.raises(P2botError, match="no Receiver at"):
        load_perceiver(str(tmp_path / "nothing"))


# ------------------------------------------------------- scores for self-play, Eq. 15
def test_nothing_said_and_nothing_known_score_zero(model_file):
    perceiver = load_perceiver(model_file)
    scores = perceiver.score(["", "hello", "hello"], [["i sing."], [], ["i sing."]])
    assert scores[:2].tolist() == [0.0, 0.0] and scores[2] != 0
    assert perceiver.score(["hello"], [[]]).tolist() == [0.0]
    nothing = perceiver.cumulative([[], ["hello"]], [[["i sing."]], [["i sing."], []]])
    assert nothing[0].tolist() == [0.0] and nothing[1][1] == 0.0
    assert perceiver.cumulative([["hello"]], [[[]]])[0].tolist() == [0.0]
    assert perceiver.relevance(["hi", "ho"], ["i sing."]).shape == (2, 1)


# ------------------------------------------------------------------------------ bad input
def test_scratch_must_be_trained_first(folder):
    with pytest.raises(P2botError, match="train it first"):
        people.evaluate(folder, model="p2bot/receiver", encoder="scratch")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tau_end": 0.0}, "--tau-end"),
        ({"margin": -1.0}, "--margin"),
        ({"word_dropout": 1.0}, "--word-dropout"),
        ({"embedding_size": 15}, "--embedding-size 15"),
        ({"fp16": True}, "--precision bf16"),
    ],
)
def test_impossible_options_are_named(folder, tmp_path, options, named):
    with pytest.raises(P2botError, match=named):
        fresh(folder, tmp_path, **options)
