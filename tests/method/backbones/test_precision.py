"""--precision bf16 against fp32: training, metrics, saved files, self-play."""

import pytest
import tiny
import torch
from playing import agent_for, opening
from torch import nn

from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.backbones import GPT, GPTConfig, build_untrained
from p2bot_parlai.method.backbones.precision import freeze_casts, keep_casts, set_computing
from p2bot_parlai.method.model_files import read_model_file
from p2bot_parlai.method.transmitter import Transmitter, token_log_likelihood

SIZES = {"n_positions": 64, "embedding_size": 16, "n_layers": 2, "n_heads": 2, "dropout": 0.0}


@pytest.fixture(params=["scratch", "sketch"])
def backbone(request):
    torch.manual_seed(0)
    return build_untrained(request.param, 30, SIZES).eval()


def read(backbone, length=9):
    ids = torch.arange(length)[None] % 30
    mask = torch.ones(1, length, length, dtype=torch.bool).tril()
    return backbone(ids, torch.arange(length)[None], mask)


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


def test_fp32_is_bit_for_bit_the_plain_stack():
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(vocab_size=30, n_positions=64, n_embd=16, n_layer=2, n_head=2)).eval()
    ids, mask = torch.arange(9)[None], torch.ones(1, 9, 9, dtype=torch.bool).tril()
    x = gpt.tokens_embed(ids) + gpt.positions_embed(ids)
    for block in gpt.h:
        x = block(x, mask, None)
    assert torch.equal(gpt(ids, ids, mask), x)
    with keep_casts(ids.device):
        assert torch.equal(gpt(ids, ids, mask), x)


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


def test_kept_casts_leave_no_gradient_behind(backbone):
    """A copy made without gradients must not outlive the block that made it."""
    set_computing(backbone, "bf16")
    with torch.no_grad(), keep_casts(torch.device("cpu")):
        read(backbone)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    read(backbone).sin().sum().backward()
    assert all(m.weight.grad is not None for m in matrices(backbone))


# ------------------------------------------------------------------ the Transmitter
@pytest.fixture(scope="module")
def trained(convai2, tmp_path_factory):
    """Model files of the same run in both precisions."""
    folder = tmp_path_factory.mktemp("precision")
    given = {"batchsize": 8, "max_train_steps": 60, "learningrate": 1e-2, "seed": 1}
    given |= {"skip_generation": True, "dropout": 0.0}
    files = {}
    for precision in ("fp32", "bf16"):
        files[precision] = str(folder / precision)
        tiny.train(convai2, files[precision], precision=precision, **given)
    return files


@pytest.mark.slow
def test_it_learns_as_fp32_does(convai2, trained):
    found = {
        name: tiny.evaluate(convai2, path, skip_generation=True, precision="fp32")
        for name, path in trained.items()
    }
    untrained = 400  # the vocabulary: ppl of a uniform guess
    assert found["bf16"]["ppl"] < untrained / 4
    assert found["bf16"]["ppl"] == pytest.approx(found["fp32"]["ppl"], rel=0.05)
    one, other = (read_model_file(path)["model"] for path in trained.values())
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_files_are_fp32(trained):
    states = read_model_file(trained["bf16"])
    assert {weight.dtype for weight in states["model"].values()} == {torch.float32}
    moments = [m for state in states["optimizer"]["state"].values() for m in state.values()]
    assert {m.dtype for m in moments if torch.is_tensor(m)} == {torch.float32}


def test_metrics_are_close(convai2, trained):
    """The same weights; who trained in bf16 evaluates so, unless told otherwise."""
    low = tiny.evaluate(convai2, trained["bf16"], inference="greedy")
    exact = tiny.evaluate(convai2, trained["bf16"], inference="greedy", precision="fp32")
    assert low["ppl"] != exact["ppl"]
    assert low["ppl"] == pytest.approx(exact["ppl"], rel=0.01)
    assert low["nup_loss"] == pytest.approx(exact["nup_loss"], abs=0.02)
    assert low["hits@1"] == pytest.approx(exact["hits@1"], abs=0.1)


@pytest.mark.parametrize("flag", ["fp16", "force_fp16_tokens"])
@pytest.mark.parametrize("model", ["p2bot", "p2bot/transmitter"])
def test_half_weights_are_refused(convai2, tmp_path, flag, model):
    with pytest.raises(P2botError, match=f"--{flag.replace('_', '-')}.*--precision bf16"):
        tiny.agent(convai2, tmp_path / "model", model=model, **{flag: True})


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
    log_p, divergence = agent.reread(scored)
    assert divergence.abs().max() < 1e-6
    assert log_p.dtype == torch.float32


# --------------------------------------------------------------------- the Receiver
