"""What ties files and weights to each other."""

import hashlib

from torch import nn


def checksum(path: str) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_checksum(network: nn.Module) -> str:
    """SHA-256 of a network's weights: pretrained models are folders, or in a cache."""
    found = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(weight.cpu().contiguous().numpy())
    return found.hexdigest()
