"""Disks that fill up or turn read-only: a small tmpfs, and where nobody may mount, a pretence."""

import builtins
import errno
import os
import subprocess
from pathlib import Path


class Tmpfs:
    """:raises OSError: where it may not be mounted."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder))

    def fill(self) -> None:
        """Leave room for a small file, not for a model."""
        used = sum(file.stat().st_blocks * 512 for file in self.folder.iterdir())
        self._remount(f"size={used // 1024 + 48}k")

    def close(self) -> None:
        """Make it read-only."""
        self._remount("ro")

    def mend(self) -> None:
        self._remount("rw,size=16m")

    def remove(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)

    def _remount(self, how: str) -> None:
        self._mount("-o", f"remount,{how}", str(self.folder))

    def _mount(self, *words: str) -> None:
        done = subprocess.run(["mount", *words], capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr)


class Pretence:
    """The folder's own disk, on which Python's ``open`` fails as a full or closed one does."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.error: int | None = None
        self._open = builtins.open
        builtins.open = self._open_or_fail

    def _open_or_fail(self, file, mode="r", *args, **kwargs):
        inside = isinstance(file, str | Path) and str(file).startswith(f"{self.folder}{os.sep}")
        if not inside or self.error is None or not set(mode) & set("wax"):
            return self._open(file, mode, *args, **kwargs)
        if self.error == errno.EROFS:
            raise OSError(self.error, os.strerror(self.error), str(file))
        # a full disk makes the file and takes nothing into it
        self._open(file, mode, *args, **kwargs).close()
        return self._open("/dev/full", mode, *args, **kwargs)

    def fill(self) -> None:
        self.error = errno.ENOSPC

    def close(self) -> None:
        self.error = errno.EROFS

    def mend(self) -> None:
        self.error = None

    def remove(self) -> None:
        builtins.open = self._open


def tmpfs_or_pretence(folder: Path) -> Tmpfs | Pretence:
    try:
        return Tmpfs(folder)
    except OSError:
        return Pretence(folder)
