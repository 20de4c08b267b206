"""A human who types: into this process, or at a real terminal of another."""

import builtins
import os
import pty
import subprocess
import sys
import threading
import time


def type_in(monkeypatch, *lines, end=EOFError):
    """The human types these lines, then ends the input, or presses Ctrl-C: KeyboardInterrupt."""
    left = iter(lines)

    def typed(prompt):
        for line in left:
            return line
        raise end

    monkeypatch.setattr(builtins, "input", typed)


def at_a_terminal(arguments: list[str], keys: list[tuple[bytes, bytes]]) -> tuple[int, str]:
    """
    Run ``parlai`` with a terminal of its own.

    :param keys: (what it must have printed since the key before, what is then typed).
    :return: exit status (negative: the signal that ended it), and everything printed.
    """
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "p2bot_parlai", *arguments],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(inside)
    output, seen, left = b"", 0, list(keys)
    stuck = threading.Timer(120, process.kill)  # better a failure than a test that never ends
    stuck.start()
    while chunk := _read(terminal):
        output += chunk
        while left and left[0][0] in output[seen:]:
            seen = len(output)
            time.sleep(0.3)  # Python hears no Ctrl-C between its prompt and its waiting for a key
            os.write(terminal, left.pop(0)[1])
    status = process.wait(timeout=60)
    stuck.cancel()
    os.close(terminal)
    return status, output.decode().replace("\r", "")


def _take_terminal():
    """In the child: its stdin is the terminal whose keys it gets."""
    import fcntl
    import signal
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # a test run in the background of a shell was told to ignore Ctrl-C, and so would its child
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read(terminal) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux: the other end is closed
        return b""
