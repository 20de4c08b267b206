"""An update in pieces, or of several batches, against one of the whole batch at once."""

from types import SimpleNamespace

import people
import pytest
import tiny
import torch
from parlai.core.message import Message
from parlai.scripts.build_dict import build_dict

from p2bot_parlai.agents.accumulation import token_budget
from p2bot_parlai.method.backbones.gpt import Attention

PERSONA = "your persona: i own a cat.\nyour persona: i live in Oslo.\n"
# the mean gradient itself, unclipped; Adam's first steps are as long where it is next to nothing
STEP = {"optimizer": "sgd", "learningrate": 1.0, "gradient_clip": 0, "lr_scheduler": "none"}
METRICS = ("loss", "ppl", "ppl_word", "token_acc", "token_em", "nup_loss", "nup_acc")


def told(number: int, whole: bool) -> Message:
    """Dialogues of several lengths, or their last turns; every third turn has no distractor."""
    turns = [
        {
            "text": (PERSONA if turn == 0 else "") + "what do you eat ? " * (1 + number % 3),
            "labels": ["i eat rice " + "and beans " * ((number + turn) % 4)],
            "label_candidates": ["hello there", "i sing", "no"] if (number + turn) % 3 else [],
        }
        for turn in range(2 + number % 3 if whole else 1)
    ]
    more = {"dialogue": turns} if whole else {"label_candidates": turns[0]["label_candidates"]}
    fields = {name: turns[0][name] for name in ("text", "labels")}
    return Message({**fields, **more, "episode_done": True})


def transmitter(convai2, tiny_model, path, **changes):
    """Without dropout, which would draw other numbers."""
    agent = tiny.agent(convai2, path, init_model=tiny_model, **{**STEP, **changes})
    agent.others.texts = []  # some turns have no distractor
    for module in agent.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, Attention):
            module.dropout = 0.0
    return agent


def learn(agent, messages, batches: int) -> tuple[list[torch.Tensor], dict, list[int]]:
    """
    Change of each weight by one update, metrics over all messages, and the size of what the network
    read at once.
    """
    sizes, before = [], [p.detach().clone() for p in agent.network.parameters()]
    reading = agent.network.register_forward_pre_hook(
        lambda module, given: sizes.append(tuple(getattr(given[0], "inputs", torch.zeros(0)).shape))
    )
    size, replies = len(messages) // batches, []
    for start in range(0, len(messages), size):
        seen = [agent.clone().observe(message) for message in messages[start : start + size]]
        replies += agent.batch_act(seen)
    reading.remove()
    totals: dict = {}
    for reply in replies:
        for name, value in reply.get("metrics", {}).items():
            totals[name] = totals.get(name) + value if value is not None else totals.get(name)
    changes = [now - was for now, was in zip(agent.network.parameters(), before, strict=True)]
    return changes, {name: float(value.value()) for name, value in totals.items() if value}, sizes


@pytest.fixture(autouse=True)
def same_distractors(monkeypatch):
    monkeypatch.setattr("random.sample", lambda population, k: list(population)[:k])


@pytest.mark.parametrize(("given", "on_gpu", "on_cpu"), [(-1, 10, 0), (0, 0, 0), (70, 70, 70)])
def test_the_default_budget_follows_the_memory_of_a_gpu(monkeypatch, given, on_gpu, on_cpu):
    memory = SimpleNamespace(total_memory=10_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {"cuda:1": memory}.get)
    for cuda, expected in ((True, on_gpu), (False, on_cpu)):
        network = network_of(cuda, learns=96)
        assert token_budget({"tokens_per_batch": given}, network, 2, 5) == expected


def test_frozen_weights_have_no_moments_and_quantised_ones_count(monkeypatch):
    memory = SimpleNamespace(total_memory=10_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {"cuda:1": memory}.get)
    # 16 bytes of each of 24 that learn, 4 of 48 frozen and 1 of 24 in a buffer: 600 of 5,000 bytes;
    # of the 96, 332 bytes a token as above
    network = network_of(True, learns=24, frozen=48, quantised=24)
    assert token_budget({"tokens_per_batch": -1}, network, 2, 5) == 4400 // 332


def network_of(cuda: bool, learns: int, frozen: int = 0, quantised: int = 0):
    """So many weights of 4 bytes, and quantised ones of 1, on a GPU or not."""

    def tensors(*of):
        return iter(
            SimpleNamespace(
                is_cuda=cuda,
                device="cuda:1",
                requires_grad=has_gradient,
                numel=lambda n=number: n,
                element_size=lambda size=size: size,
            )
            for number, has_gradient, size in of
        )

    return SimpleNamespace(
        parameters=lambda: tensors((learns, True, 4), (frozen, False, 4)),
        buffers=lambda: tensors((quantised, False, 1)),
    )


@pytest.mark.parametrize(
    "how",
    [{"tokens_per_batch": 250}, {"update_freq": 3}, {"update_freq": 2, "tokens_per_batch": 100}],
    ids=str,
)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"whole": False},
        {"num_distractors": 2},
        {"nup_coef": 0.0},
        {"text_truncate": 60},  # a dialogue takes several rows
        {"gradient_clip": 0.1},
    ],
    ids=str,
)
def test_a_transmitter_learns_what_it_learns_at_once(convai2, tiny_model, tmp_path, changes, how):
    options = {name: value for name, value in changes.items() if name != "whole"}
    messages = [told(number, changes.get("whole", True)) for number in range(6)]
    plain = transmitter(convai2, tiny_model, tmp_path / "m", **options)
    expected, metrics, _ = learn(plain, messages, batches=1)
    agent = transmitter(convai2, tiny_model, tmp_path / "m", **options, **how)
    found, same, sizes = learn(agent, messages, how.get("update_freq", 1))
    budget = how.get("tokens_per_batch", 10_000)
    assert len(sizes) > 1 and all(rows == 1 or rows * width <= budget for rows, width in sizes)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert any(change.abs().max() > 1e-3 for change in found)
    assert same == pytest.approx(metrics, rel=1e-4)
    assert set(METRICS[: 5 if options.get("nup_coef") == 0.0 else 7]) <= set(same)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return people.write_people(tmp_path_factory.mktemp("people"))


def said(number: int) -> Message:
    personas = [
        "\n".join(
            text.format(thing)
            for text, thing in zip(people.ORIGINAL, people.person(who), strict=True)
        )
        for who in (number, number + 1)
    ]
    spoken = [
        f"look at these {thing} !" for thing in people.THINGS[number : number + 1 + number % 3]
    ]
    fields = {"text": "\n".join(spoken), "labels": personas[:1], "label_candidates": personas}
    return Message({**fields, "candidate_people": [number, number + 1], "episode_done": True})


@pytest.mark.parametrize(
    ("how", "changes"),
    [
        ({"update_freq": 3}, {}),
        ({"update_freq": 3}, {"loss": "softmax", "gradient_clip": 0.01}),
        ({"tokens_per_batch": 20}, {"share_encoders": True}),
        ({"tokens_per_batch": 20}, {"negatives": "batch"}),
        ({"update_freq": 2, "tokens_per_batch": 20}, {}),
    ],
    ids=str,
)
def test_a_receiver_learns_what_it_learns_at_once(folder, tmp_path, how, changes):
    given = {**STEP, "dropout": 0.0, "dict_file": str(tmp_path / "model.dict"), **changes}
    build_dict(people.setup_args().parse_kwargs(**people.options(folder, tmp_path / "m", **given)))
    results = []
    for options in ({}, how):
        torch.manual_seed(3)
        agent = people.agent(folder, tmp_path / "m", **given, **options)
        messages = [said(number) for number in range(6)]
        results.append(learn(agent, messages, options.get("update_freq", 1))[:2])
    (expected, metrics), (found, same) = results
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert any(change.abs().max() > 1e-3 for change in found)
    assert same == pytest.approx(metrics, rel=1e-4)
