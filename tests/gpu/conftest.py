"""Each test here runs on a GPU, if there is one, and on the fake device."""

import contextlib

import pytest
import torch
from fake_device import fake_cuda

NONE = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
DEVICES = [
    pytest.param("fake", marks=pytest.mark.slow),
    pytest.param("cuda", marks=[pytest.mark.gpu, NONE]),
]


@pytest.fixture(params=DEVICES)
def gpu(request, tiny_model, tiny_receiver):
    """Where agents put themselves, but with ``--no-cuda``; the models are there before."""
    with fake_cuda() if request.param == "fake" else contextlib.nullcontext():
        yield request.param
