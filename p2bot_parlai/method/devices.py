"""Tensors on their way to a GPU."""

import torch
from torch import Tensor


def moved(tensor: Tensor, device: torch.device | str | int) -> Tensor:
    """A tensor on a device; the CPU does not wait until it has arrived on a GPU."""
    if tensor.device.type != "cpu" or str(device) == "cpu" or not torch.cuda.is_available():
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
