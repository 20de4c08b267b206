"""Random generators of conversations that share a network and a batch."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import repeat

import torch
from torch import Tensor


class Chance:
    """
    A random generator of its own: inside `held`, torch's sampling draws from it.

    :param seed: None: a new one each time.
    """

    def __init__(self, seed: int | None, device: torch.device):
        self.seed = seed
        self.device = device if device.type == "cuda" else None
        self.restart()

    def restart(self) -> None:
        """Draw the same again; without a seed, something else."""
        generators = [torch.Generator(device) for device in ("cpu", self.device) if device]
        for generator in generators:
            generator.seed() if self.seed is None else generator.manual_seed(self.seed)
        self._states = [generator.get_state() for generator in generators]

    @contextmanager
    def held(self) -> Iterator[None]:
        """For one thread at a time: torch's generator is shared by all."""
        with torch.random.fork_rng(devices=[self.device] if self.device else []):
            torch.set_rng_state(self._states[0])
            if self.device:
                torch.cuda.set_rng_state(self._states[1], self.device)
            yield
            self._states[0] = torch.get_rng_state()
            if self.device:
                self._states[1] = torch.cuda.get_rng_state(self.device)


def held_by_each(
    chances: Sequence[Chance], rows: Tensor
) -> Iterator[AbstractContextManager[object]]:
    """
    What each row draws in, so that it draws the same whoever shares the batch.

    :param chances: one a row of the batch; none: all rows share torch's generator.
    :param rows: int (b,), the unfinished ones.
    """
    if not chances:
        return repeat(nullcontext())
    return (chances[row].held() for row in rows.tolist())
