"""A small Transmitter."""

import pytest
import torch

from p2bot_parlai.method.backbones import GPT, GPTConfig
from p2bot_parlai.method.transmitter import Transmitter


@pytest.fixture
def model() -> Transmitter:
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=30, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    model = Transmitter(GPT(config)).eval()
    for parameter in model.parameters():  # larger weights: a wrong mask must show
        parameter.data.mul_(5)
    return model
