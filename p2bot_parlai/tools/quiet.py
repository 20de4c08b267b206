"""Run ParlAI's evaluation without its output."""

import contextlib
import io
from collections.abc import Iterator

from parlai.utils import logging


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing is printed or logged in this block."""
    logging.disable()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.enable()
