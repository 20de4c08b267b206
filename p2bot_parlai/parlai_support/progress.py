"""How far a training run is, for those who watch it."""

import contextlib
import sys
import time
from collections.abc import Iterator

from parlai.utils.distributed import is_primary_worker
from tqdm import tqdm


class ProgressLine:
    """
    How far the run is, examples (or dialogues) a second and time left.

    On a terminal one line that is overwritten; elsewhere `text` goes to the log. The
    clock stops while the loop logs or validates.
    """

    def __init__(self, unit: str = "examples"):
        self.unit = unit
        self.live = sys.stderr.isatty() and is_primary_worker()
        self._bar = None
        self.seconds, self._running_since = 0.0, None

    def start(self, share: float, examples: float) -> None:
        self.first_share = self.share = share
        self.first_examples = self.examples = examples
        self._running_since = time.monotonic()
        if self.live:
            self._bar = tqdm(
                total=1000, bar_format="training {percentage:3.0f}%|{bar:20}|{desc}", leave=False
            )

    def update(self, share: float, examples: float) -> None:
        self.share, self.examples = share, examples
        if self._bar is not None:
            self._bar.n = round(1000 * share)
            self._bar.set_description_str(self._details(), refresh=False)
            self._bar.update(0)  # redraws at most ten times a second

    def text(self) -> str:
        return f"training {100 * self.share:.0f}% done,{self._details()}"

    def _details(self) -> str:
        running = time.monotonic() - self._running_since if self._running_since else 0.0
        seconds = self.seconds + running
        speed = (self.examples - self.first_examples) / max(seconds, 1e-6)
        gained = self.share - self.first_share
        left = "?" if gained <= 0 else tqdm.format_interval(seconds * (1 - self.share) / gained)
        return f" {self.examples:,.0f} {self.unit}, {speed:.1f} {self.unit}/s, {left} left"

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Give the terminal to others and stop the clock."""
        if self._running_since is not None:
            self.seconds += time.monotonic() - self._running_since
            self._running_since = None
        if self._bar is not None:
            self._bar.clear()
        yield
        self._running_since = time.monotonic()
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
