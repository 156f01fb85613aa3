"""A command under a terminal of its own (a pty), and what a person sees there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Screen:
    """All that a command wrote to its terminal. `text` is without colours and movements."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.terminal = terminal
        self.raw = b""

    @property
    def text(self) -> str:
        return ESCAPE.sub("", self.raw.decode(errors="replace")).replace("\r\n", "\n")

    def wait_for(self, text: str, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, f"did not see {text!r} in:\n{self.text}"
            assert self._read(0.1), f"ended before {text!r} was seen:\n{self.text}"

    def finish(self, seconds: float = 30.0) -> int:
        """Reads to the end and gives the exit code."""
        deadline = time.monotonic() + seconds
        while self._read(0.1):
            assert time.monotonic() < deadline, f"still running:\n{self.text}"
        return self.process.wait(timeout=10)

    def _read(self, seconds: float) -> bool:
        """False at the end. Linux says EIO once no process has the terminal open."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            return True
        try:
            chunk = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.raw += chunk
        return bool(chunk)

    def press_ctrl_c(self) -> None:
        os.write(self.terminal, b"\x03")


@contextmanager
def screen(command: Sequence[str], environment: dict[str, str], columns: int = 100) -> Iterator[Screen]:
    """Starts the command as the leader of a session whose terminal this is, so that Ctrl-C reaches it as it would."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={"TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
    )
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        process.kill()
        process.wait(timeout=10)
        os.close(ours)
