"""On a GPU: every stage learns, and what is computed there is what the CPU computes."""

import math
import sys
from pathlib import Path

import pairs
import people
import pytest
import tiny
import torch
from asking import PERSONA, QUESTIONS, ask_together
from parlai.core.agents import create_agent_from_model_file
from playing import agent_for, opening, step
from test_training_loop import run
from transformers import AutoModelForCausalLM
from turns import MARKS, TURNS

from p2bot_parlai.chat.api import P2Bot
from p2bot_parlai.method.layout import pack
from p2bot_parlai.method.model_files import load_transmitter, read_tokenizer
from p2bot_parlai.method.transmitter import Transmitter
from p2bot_parlai.scripts.export_hf import ExportHf

sys.path.append(str(Path(__file__).parents[1] / "method" / "backbones"))
from test_lora import CONFIGS, backbone, trained  # noqa: E402

EXACT = {"precision": "fp32"}


def same(found, expected, tolerance: float = 1e-4) -> None:
    found, expected = (torch.as_tensor(x).detach().cpu() for x in (found, expected))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


# --------------------------------------------------------------------------- the networks
def build(kind: str, base_dtype: str = "none") -> Transmitter:
    """With the vocabulary of `turns` among its 40 tokens."""
    network = backbone(kind)
    if base_dtype != "none":
        pytest.importorskip("bitsandbytes")
        from p2bot_parlai.method.backbones.quantised import quantise

        network = trained(network)
        quantise(network, base_dtype)
    torch.manual_seed(0)
    return Transmitter(network).eval()


@pytest.mark.parametrize(
    ("kind", "base_dtype"),
    [(kind, "none") for kind in ("gpt", *CONFIGS)] + [("llama", "int8"), ("gpt", "int4")],
)
def test_logits_scores_and_gradients(gpu, kind, base_dtype):
    """Of packed turns, in fp32: without a second device anywhere."""
    network, layout = build(kind, base_dtype), pack(TURNS, MARKS)
    learns = [p for n, p in network.named_parameters() if "lora" in n or base_dtype == "none"]
    found = []
    for device in ("cpu", "cuda"):
        network.zero_grad()
        for weight in learns:
            weight.requires_grad_()
        logits, scores = network.to(device)(layout.to(device))
        (logits.sin().sum() + scores.sum()).backward()
        given = [p.grad for p in network.parameters() if p.grad is not None]
        found.append([tensor.detach().cpu() for tensor in (logits, scores, *given)])
    for here, there in zip(*found, strict=True):
        same(there, here, 1e-4 * max(1.0, float(here.abs().max())))


def test_the_default_precision_is_the_devices(gpu, tiny_model):
    """Of a GPU without bfloat16 it is fp32, as that of a CPU."""
    agent = create_agent_from_model_file(tiny_model, tiny.QUIET)
    low = torch.cuda.is_bf16_supported(including_emulation=False)
    assert agent.device.type != "cpu"
    assert agent.network.backbone.precision == ("bf16" if low else "fp32")
    agent = create_agent_from_model_file(tiny_model, {**tiny.QUIET, "no_cuda": True})
    assert agent.device.type == "cpu" and agent.network.backbone.precision == "fp32"


# ----------------------------------------------------------------------------- the stages
def transmitter(request, path, **changes):
    convai2 = request.getfixturevalue("convai2")
    given = {"skip_generation": True, "validation_max_exs": 4, "dropout": 0.0}
    return tiny.train(convai2, path, **given, **changes)


def receiver(request, path, **changes):
    if not (data := path.parent / "people").exists():
        people.write_people(data, people=6)
    return people.train(data, path, dropout=0.0, validation_max_exs=4, **changes)


def selfplay(request, path, **changes):
    playing, convai2 = map(request.getfixturevalue, ("playing", "convai2"))
    given = {**playing, "validation_max_exs": 2, "selfplay_epochs": 2, "kl_coef": 0.1}
    given |= {"label_truncate": 5, "selfplay_turns": 2, "batchsize": 2}
    return tiny.train(convai2, path, **{**given, **changes})


def nli(request, path, **changes):
    if not (data := path.parent / "pairs").exists():
        pairs.write_pairs(data)
    return pairs.train(data, path, dropout=0.0, validation_max_exs=4, **changes)


@pytest.mark.parametrize("stage", [transmitter, receiver, selfplay, nli])
def test_two_steps_of_each_stage(gpu, request, tmp_path, stage):
    """In fp32 they end where the CPU's end; in bf16 close to them."""

    def ends(name, **changes) -> dict[str, float]:
        valid, _ = stage(request, tmp_path / name, max_train_steps=2, seed=3, **changes)
        kept = ("loss", "ppl", "nup_loss", "mrr", "accuracy")
        return {metric: float(valid[metric]) for metric in kept if metric in valid}

    expected = ends("cpu", no_cuda=True, **EXACT)
    assert expected
    assert ends("fp32", **EXACT) == pytest.approx(expected, rel=1e-3)
    low = ends("bf16", precision="bf16")
    assert all(map(math.isfinite, low.values()))
    if "loss" in expected:
        assert low["loss"] == pytest.approx(expected["loss"], rel=0.02)


def test_a_run_goes_on_where_it_stopped(gpu, convai2, tmp_path):
    """With the dropout of the device."""
    given = {**EXACT, "max_train_steps": 6, "validation_max_exs": 2, "validation_every_n_steps": 3}
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    weights, seen = run(convai2, tmp_path / "whole", **given)
    run(convai2, tmp_path / "broken", kill_at=3, **given)
    again, after = run(convai2, tmp_path / "broken", **given)
    assert 0 < len(after) < len(seen)
    for name, weight in weights.items():
        same(again[name], weight)


# ------------------------------------------------------------------------------ self-play
def test_the_same_dialogues_with_the_same_rewards(gpu, convai2, tmp_path, playing):
    """What is sampled depends on seeds, not on the device."""
    given = {**playing, **EXACT, "lambda_repetition": 1.0, "partner": "latest"}
    scored = []
    for name, changes in (("cpu", {"no_cuda": True}), ("gpu", {})):
        agent = agent_for(convai2, tmp_path / name, {**given, **changes})
        scored.append(agent.play([opening(number) for number in range(3)]))
        step(agent, [1, 2, 3])
    here, there = scored
    assert here.rollouts.agent_texts == there.rollouts.agent_texts
    assert here.rollouts.user_texts == there.rollouts.user_texts
    same(there.total, here.total, 1e-3)
    same(there.rollouts.log_p(), here.rollouts.log_p(), 1e-3)


# ------------------------------------------------------------------------------- answers
@pytest.mark.parametrize(
    "way",
    [
        {"inference": "beam", "beam_size": 3, "beam_block_ngram": 2},
        {"inference": "greedy", "rank_by": "both", "rank_candidates": True},
    ],
)
def test_the_same_answers(gpu, tiny_model, way):
    messages = [
        {"text": PERSONA + text, "label_candidates": QUESTIONS[: 4 + i], "eval_labels": [text]}
        for i, text in enumerate(QUESTIONS[:3])
    ]
    quick = {**EXACT, **tiny.QUIET, "label_truncate": 8, **way}
    here, there = (
        ask_together(create_agent_from_model_file(tiny_model, {**quick, **more}), messages)
        for more in ({"no_cuda": True}, {})
    )
    for one, other in zip(here, there, strict=True):
        assert one["text"] == other["text"]
        assert one.get("text_candidates") == other.get("text_candidates")
        same(other["metrics"]["loss"].value(), one["metrics"]["loss"].value())


@pytest.mark.parametrize("way", ["multinomial", "nucleus", "topk"])
def test_sampled_answers(gpu, tiny_model, way):
    given = {"inference": way, "label_truncate": 4, **tiny.QUIET}
    agent = create_agent_from_model_file(tiny_model, given)
    assert all(isinstance(reply["text"], str) for reply in ask_together(agent, TALK))


TALK = [{"text": PERSONA + text} for text in QUESTIONS[:2]]


def test_a_chat_and_its_impression(gpu, tiny_model, tiny_receiver):
    given = {"receiver": tiny_receiver, "inference": "greedy", "label_truncate": 6, **EXACT}
    persona, said = ["i own a cat."], []
    for more in ({"device": "cpu"}, {}):
        bot = P2Bot.load(tiny_model, persona=persona, seed=1, **given, **more)
        said.append([bot.reply("hello , do you own a pet ?"), bot.reply("and a dog ?")])
        said[-1].append([round(score, 4) for score in bot.relevance(["i own a cat"], persona)[0]])
    assert said[0] == said[1]


# ------------------------------------------------------------------------------ the export
def test_an_export_is_plain_transformers_on_the_cpu(gpu, request, tmp_path):
    transmitter(request, tmp_path / "model", max_train_steps=1, backbone="sketch", n_layers=2)
    ExportHf.main(model_file=str(tmp_path / "model"), out=str(tmp_path / "out"), loglevel="error")
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    network = load_transmitter(
        str(tmp_path / "model"), read_tokenizer(str(tmp_path / "model.dict"))
    )
    ids = torch.arange(5, 12)[None]
    seen = torch.ones(1, 7, 7, dtype=torch.bool).tril()
    with torch.no_grad():
        own = network.output(network.backbone(ids, torch.arange(7)[None], seen))
        same(lm(ids).logits, own)
