"""--gradient-checkpointing: the same gradients, fewer saved activations."""

import pytest
import torch
from playing import agent_for, opening
from turns import MARKS, TURNS

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import build_untrained
from p2bot_parlai.method.backbones.precision import set_computing
from p2bot_parlai.method.layout import pack
from p2bot_parlai.method.transmitter import Transmitter

SIZES = {"n_positions": 64, "embedding_size": 16, "n_layers": 6, "n_heads": 2}


@pytest.fixture(params=["scratch", "sketch"])
def network(request):
    torch.manual_seed(0)
    return Transmitter(build_untrained(request.param, 30, {**SIZES, "dropout": 0.1}))


def learn(network) -> tuple[list[torch.Tensor], int]:
    """Gradients, and the bytes that the forward pass keeps for the backward pass."""
    weights = {p.data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor):
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    network.zero_grad()
    torch.manual_seed(3)  # dropout
    packed = pack(TURNS, MARKS)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits, scores = network(packed)
    loss = logits.sin().sum() + scores.sin().sum()
    loss.backward()
    return [p.grad.clone() for p in network.parameters()], sum(kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("training", [True, False])  # self-play learns in evaluation mode
def test_same_gradients_in_less_memory(network, precision, training):
    network.train(training)
    set_computing(network, precision)
    expected, before = learn(network)
    set_computing(network, precision, gradient_checkpointing=True)
    found, after = learn(network)
    assert after < before / 2
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    set_computing(network, precision, gradient_checkpointing=False)
    assert learn(network)[1] == before  # nothing of it is left in the layers


def test_a_family_that_marks_no_layers_is_refused(monkeypatch):
    backbone = build_untrained("sketch", 30, {**SIZES, "dropout": 0.0})
    monkeypatch.setattr("transformers.modeling_layers.GradientCheckpointingLayer", torch.nn.RNN)
    with pytest.raises(P2botError, match="'llama'.*--gradient-checkpointing"):
        set_computing(backbone, "fp32", gradient_checkpointing=True)


def test_self_play_has_the_same_gradient(convai2, tmp_path, playing):
    found = []
    for flag in (False, True):
        options = {**playing, "gradient_checkpointing": flag}
        agent = agent_for(convai2, tmp_path / "model", options)
        assert agent.network.backbone.gradient_checkpointing == flag
        log_p = agent.reread(agent.play([opening(n) for n in range(3)]), "none").log_p
        agent.zero_grad()
        log_p.sum().backward()
        found.append([p.grad for p in agent.network.parameters()])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)
