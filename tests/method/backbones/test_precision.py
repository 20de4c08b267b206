"""--precision bf16 against fp32: training, metrics, saved files, self-play."""

import copy

import naive
import pytest
import tiny
import torch
from playing import agent_for, opening
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import build_untrained
from p2bot_parlai.method.backbones.precision import (
    freeze_casts,
    keep_casts,
    precision_on,
    set_computing,
)
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.method.transmitter import Transmitter, token_log_likelihood

SIZES = {"n_positions": 64, "embedding_size": 16, "n_layers": 2, "n_heads": 2, "dropout": 0.0}


@pytest.fixture(params=["scratch", "sketch"])
def backbone(request):
    torch.manual_seed(0)
    return build_untrained(request.param, 30, SIZES).eval()


def read(backbone):
    return naive.read(backbone, list(range(9)))


def matrices(network) -> list[nn.Module]:
    from transformers.pytorch_utils import Conv1D

    return [m for m in network.modules() if isinstance(m, nn.Linear | Conv1D)]


def dtypes(network, run) -> set[torch.dtype]:
    """What the matrix products of a run return."""
    found = set()
    hooks = [
        m.register_forward_hook(lambda _, __, out: found.add(out.dtype)) for m in matrices(network)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return found


# --------------------------------------------------------------------- the backbones
def test_only_the_products_are_in_bfloat16(backbone):
    assert dtypes(backbone, lambda: read(backbone)) == {torch.float32}
    exact = read(backbone)
    set_computing(backbone, "bf16")
    assert dtypes(backbone, lambda: read(backbone)) == {torch.bfloat16}
    hidden = read(backbone)
    logits = backbone.logits(hidden)
    assert hidden.dtype == logits.dtype == torch.float32
    assert not torch.equal(hidden, exact)
    torch.testing.assert_close(hidden, exact, atol=0.05, rtol=0.05)
    logits.sin().sum().backward()
    assert {p.grad.dtype for p in backbone.parameters()} == {torch.float32}
    set_computing(backbone, "fp32")
    assert torch.equal(read(backbone), exact)


def test_frozen_weights_are_stored_as_they_would_be_cast(backbone):
    set_computing(backbone.requires_grad_(False), "bf16")
    expected, bytes_before = read(backbone), stored(backbone)
    expected_logits = backbone.logits(expected)
    freeze_casts(backbone)
    assert {m.weight.dtype for m in matrices(backbone)} == {torch.bfloat16}
    assert torch.equal(read(backbone), expected)
    assert torch.equal(backbone.logits(expected), expected_logits)
    assert stored(backbone) < 0.8 * bytes_before


def stored(network) -> int:
    return sum(p.numel() * p.element_size() for p in network.parameters())


def test_a_frozen_head_and_a_network_in_fp32_stay():
    network = Transmitter(build_untrained("scratch", 30, SIZES))
    freeze_casts(network)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    set_computing(network, "bf16")
    freeze_casts(network)
    assert network.next_utterance.weight.dtype == torch.float32


def test_a_frozen_tied_matrix_is_cast_once_and_again_when_it_changes():
    backbone = build_untrained("scratch", 30, SIZES).eval().requires_grad_(False)
    set_computing(backbone, "bf16")
    hidden, weight = torch.randn(1, 3, 16), backbone.tokens_embed.weight

    def expected():
        return (hidden.bfloat16() @ weight.bfloat16().T).float()

    backbone.logits(hidden)
    with Casts() as casts:
        assert torch.equal(backbone.logits(hidden), expected())
    assert casts.of.count(weight.shape) == 1  # that of `expected`
    with torch.no_grad():
        weight.mul_(2)
    assert torch.equal(backbone.logits(hidden), expected())
    weight.data = weight.data + 1
    assert torch.equal(backbone.logits(hidden), expected())
    copied = copy.deepcopy(backbone)
    with torch.no_grad():
        weight.mul_(3)
    assert torch.equal(backbone.logits(hidden), expected())
    assert not torch.equal(copied.logits(hidden), expected())
    backbone.requires_grad_(True)
    backbone.logits(hidden).sum().backward()
    assert weight.grad.abs().sum() > 0


class Casts(TorchDispatchMode):
    """Within, ``of`` notes the shapes of what is cast."""

    def __init__(self):
        super().__init__()
        self.of = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._to_copy.default:
            self.of.append(args[0].shape)
        return function(*args, **(kwargs or {}))


def test_kept_casts_leave_no_gradient_behind(backbone):
    """A copy made without gradients must not outlive the block that made it."""
    set_computing(backbone, "bf16")
    with torch.no_grad(), keep_casts(torch.device("cpu")):
        read(backbone)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    read(backbone).sin().sum().backward()
    assert all(m.weight.grad is not None for m in matrices(backbone))


@pytest.mark.parametrize("has_it", [True, False])
def test_auto_is_bf16_on_a_gpu_that_has_it(monkeypatch, has_it):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_it)
    assert precision_on(True, "auto") == ("bf16" if has_it else "fp32")
    assert precision_on(False, "auto") == "fp32"
    assert [precision_on(True, asked) for asked in ("fp32", "bf16")] == ["fp32", "bf16"]


# ------------------------------------------------------------------ the Transmitter
@pytest.mark.slow
def test_it_learns_as_fp32_does(convai2, tmp_path):
    """And saves weights of 32 bits. Who trained in bf16 evaluates so, unless told otherwise."""
    given = {"batchsize": 8, "max_train_steps": 40, "learningrate": 1e-2, "seed": 1}
    given |= {"skip_generation": True, "dropout": 0.0}
    files = {precision: str(tmp_path / precision) for precision in ("fp32", "bf16")}
    for precision, path in files.items():
        tiny.train(convai2, path, precision=precision, **given)
    saved = read_model_file(files["bf16"])
    moments = [m for state in saved["optimizer"]["state"].values() for m in state.values()]
    tensors = [*saved["model"].values(), *filter(torch.is_tensor, moments)]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}

    low = tiny.evaluate(convai2, files["bf16"])
    exact = tiny.evaluate(convai2, files["bf16"], precision="fp32")
    other = tiny.evaluate(convai2, files["fp32"])
    assert low["ppl"] < 100  # of 400, a uniform guess
    assert low["ppl"] != exact["ppl"] == pytest.approx(low["ppl"], rel=0.01)
    assert exact["ppl"] != other["ppl"] == pytest.approx(exact["ppl"], rel=0.05)
    assert low["nup_loss"] == pytest.approx(exact["nup_loss"], abs=0.02)


def test_half_weights_are_refused(convai2, tmp_path):
    with pytest.raises(P2botError, match="--fp16.*--precision bf16"):
        tiny.agent(convai2, tmp_path / "model", fp16=True)


# ------------------------------------------------------------------------ self-play
def test_self_play_samples_and_scores_alike(convai2, tmp_path, playing):
    agent = agent_for(convai2, tmp_path / "model", {**playing, "precision": "bf16"})
    run = lambda: setattr(agent, "scored", agent.play([opening(n) for n in range(3)]))  # noqa: E731
    for network in (agent.network.backbone, agent.selfplay.world.user.backbone):
        assert dtypes(network, run) == {torch.bfloat16}
    scored = agent.scored
    packed, hidden, _ = agent.selfplay.world.reading(scored.rollouts)
    logits, _ = agent.model(packed)
    scores = token_log_likelihood(logits, packed.targets)
    assert logits.dtype == scores.dtype == hidden.dtype == scored.total.dtype == torch.float32
    sampled = torch.zeros_like(scores)
    for n, part in enumerate(scored.rollouts.sampled_scores):
        sampled[n :: len(scored.rollouts.sampled_scores), : part.shape[1]] = part
    torch.testing.assert_close(sampled, scores * packed.target_mask, atol=0.03, rtol=0)
    # the same weights in the same precision: not a bit apart
    log_p, _, divergence = agent.reread(scored, "value")
    assert divergence.abs().max() < 1e-6
    assert log_p.dtype == torch.float32
