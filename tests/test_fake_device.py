"""The second device of the tests: it computes what the CPU does, and is strict where a GPU is."""

import pytest
import torch
from fake_device import DEVICE, fake_cuda
from torch import nn
from torch.nn import functional


def trained(device: str) -> list[torch.Tensor]:
    """A network with tied weights, attention and Adam, after two steps."""
    torch.manual_seed(0)
    embed, head = nn.Embedding(9, 8), nn.Linear(8, 9, bias=False)
    head.weight = embed.weight
    network = nn.ModuleList([embed, nn.Linear(8, 8), head]).to(device)
    assert network[0].weight is network[2].weight
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
    seen = torch.ones(3, 3, dtype=torch.bool, device=device).tril()
    for _ in range(2):
        x = network[1](network[0](ids))[:, None]
        x = functional.scaled_dot_product_attention(x, x, x, attn_mask=seen)[:, 0]
        loss = functional.cross_entropy(network[2](x).flatten(0, 1), ids.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [weight.detach().cpu() for weight in network.parameters()] + [loss.detach().cpu()]


def test_it_computes_what_the_cpu_does():
    with fake_cuda():
        found = trained("cuda")
    torch.testing.assert_close(found, trained("cpu"), atol=1e-6, rtol=0)


def test_the_network_is_on_it():
    with fake_cuda():
        assert nn.Linear(2, 2).cuda().weight.device == torch.ones(2).to("cuda:0").device == DEVICE


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.cat([x, torch.ones(3)]),
        lambda x: x[torch.tensor([0, 1])],
        lambda x: x[torch.ones(3, dtype=torch.bool)],
        lambda x: functional.linear(x, torch.ones(2, 3)),
        lambda x: torch.rand(3, device=x.device, generator=torch.Generator()),
    ],
)
def test_two_devices_do_not_meet(mixed):
    with fake_cuda(), pytest.raises(RuntimeError, match="two devices meet|with a generator"):
        mixed(torch.ones(3, device="cuda"))


def test_a_number_of_the_cpu_is_welcome():
    with fake_cuda():
        assert (torch.ones(3, device="cuda") * torch.tensor(2.0)).sum().item() == 6


def test_what_the_cpu_waits_for_is_counted():
    with fake_cuda() as waits:
        x = torch.arange(4.0, device="cuda")
        x.add_(1)
        torch.ones(4).to("cuda")
        assert not waits.total()
        x[x > 2], x[[0, 1]], x.tolist(), x.cpu(), x[0].item(), torch.equal(x, x)
        assert waits.total() == 6
