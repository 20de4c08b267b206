"""What a model file says about the run that made it: version, options, seed, data, start."""

import contextlib
import os
from collections.abc import Iterator

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from p2bot_parlai import __version__
from p2bot_parlai.method.checksums import checksum
from p2bot_parlai.parlai_support.files import PARTS
from p2bot_parlai.parlai_support.patching import Patch, patched


@contextlib.contextmanager
def files_read() -> Iterator[set[str]]:
    """The paths that are opened through ParlAI for reading within the block."""
    found: set[str] = set()

    def noting(stock):
        def open_file(self, path, mode="r", *args, **kwargs):
            if "r" in mode:
                found.add(str(path))
            return stock(self, path, mode, *args, **kwargs)

        return open_file

    with patched(Patch(type(PathManager), "open", noting)):
        yield found


def of_run(opt: Opt, read: set[str]) -> dict:
    """
    Plain data. Of paths only the last part: the others tell about a machine.

    :param read: files that were opened when the task and the agent were built. Those of a model
        and ParlAI's mark of a finished download are no data.
    """
    no_data = (*filter(None, PARTS), ".built")
    data = sorted(path for path in read if not path.endswith(no_data))
    given = opt.get("override", {})
    return {
        "version": __version__,
        "options": {name: _without_folder(value) for name, value in given.items()},
        "seed": opt.get("seed"),
        "data": {os.path.basename(path): checksum(path) for path in data},
    }


def of_file(path: str) -> dict[str, str]:
    """A model file that a run starts from."""
    return {"file": os.path.basename(path), "sha256": checksum(path)}


def _without_folder(value):
    absolute = isinstance(value, str) and os.path.isabs(value)
    return os.path.basename(value) if absolute else value
