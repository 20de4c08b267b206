"""
SIGTERM, by which a scheduler asks a run to stop: save, exit cleanly, be resumed later; and
Ctrl-C while a model is saved.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator

from parlai.utils.distributed import is_distributed


class Terminated(SystemExit):
    """The run stopped as asked: exit status 0."""

    def __init__(self):
        super().__init__(0)


class Termination:
    """
    Whether SIGTERM has arrived, while this context is entered.

    Only the main thread receives signals; an existing handler of SIGTERM is kept.
    """

    def __init__(self):
        self.asked = False
        self._now = False
        self._installed = False

    def __enter__(self):
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._heard)
            self._installed = True
        return self

    def __exit__(self, *error):
        if self._installed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._installed = False

    def _heard(self, number, frame):
        self.asked = True
        if self._now:
            self._now = False  # once
            raise Terminated

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """
        Stop immediately (`Terminated`) where nothing is learnt or written and waiting takes long.

        Not with several processes: the others would wait for this one.
        """
        if is_distributed():
            yield
            return
        self._now = True
        try:
            if self.asked:
                raise Terminated
            yield
        finally:
            self._now = False


@contextlib.contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """
    Ctrl-C (SIGINT) waits for the end of this block.

    parlai/scripts/train_model.py:505 begins saving anew where it is interrupted, and then
    trains on.
    """
    stock = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(stock):
        yield
        return
    heard = []
    signal.signal(signal.SIGINT, lambda *signalled: heard.append(signalled))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, stock)
    if heard:
        stock(*heard[0])
