"""Memory that all worker processes of one server share: rate limits, numbers for monitoring, and whether it is stopping.

The process that starts the workers makes it and holds it open; nothing is left of it after the last of them, also after kill -9.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KIB = 1024
# Pages that nobody has written to cost nothing.
HEADER_BYTES = 4 * KIB
LIMITS_BYTES = 4 * KIB * KIB
SLOT_BYTES = 64 * KIB
MOST_SLOTS = 72  # the most workers, and those that take over from dead ones
SLOTS_AT = HEADER_BYTES + LIMITS_BYTES
BYTES = SLOTS_AT + MOST_SLOTS * SLOT_BYTES
SECRET_AT, SECRET_BYTES = 64, 32


class Shared:
    """The memory as one process sees it. The file's lock, held for microseconds, orders those who change it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.memory = mmap.mmap(descriptor, BYTES)

    @property
    def stopping(self) -> bool:
        """Whether the server has been told to stop."""
        return self.memory[0] != 0

    def say_stopping(self) -> None:
        self.memory[0] = 1

    @property
    def ready(self) -> bool:
        """Whether any worker has seen the schema that the app needs."""
        return self.memory[1] != 0

    def say_ready(self) -> None:
        self.memory[1] = 1

    @property
    def secret(self) -> bytes:
        """Random bytes that are the same for all workers and known to nobody else."""
        return self.memory[SECRET_AT : SECRET_AT + SECRET_BYTES]

    def lock(self) -> None:
        """Waits for the others. A process that dies lets go of the lock."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def unlock(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def take_slot(self) -> memoryview:
        """A part of the memory that this process alone writes to, as 64-bit numbers, the first of them taken by us.

        It may hold what a dead process has left.
        """
        for number in range(MOST_SLOTS):
            try:
                # A lock of the process on one byte, where nobody reads or writes: it ends with the process.
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, BYTES + number)
            except OSError:
                continue
            slot = self._slot(number)
            slot[0] = 1
            return slot
        raise RuntimeError("more processes than slots share the memory")

    def slots(self) -> list[memoryview]:
        """All slots that have ever been taken, to be read."""
        return list(itertools.takewhile(lambda slot: slot[0] == 1, map(self._slot, range(MOST_SLOTS))))

    def _slot(self, number: int) -> memoryview:
        at = SLOTS_AT + number * SLOT_BYTES
        return memoryview(self.memory)[at : at + SLOT_BYTES].cast("Q")

    def limits(self) -> memoryview:
        """The part for rate limits."""
        return memoryview(self.memory)[HEADER_BYTES : HEADER_BYTES + LIMITS_BYTES]


def attach(path: Path | None) -> Shared:
    """The memory of the server that gave this path to its workers; without one, memory of this process alone."""
    if path is not None:
        return Shared(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    descriptor, name = _new_file()
    _forget(name)
    return Shared(descriptor)


@contextmanager
def offered() -> Iterator[tuple[Shared, Path]]:
    """New memory and the path under which child processes find it, for as long as the block runs."""
    descriptor, name = _new_file()
    shared = Shared(descriptor)
    try:
        yield shared, Path(name or f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        shared.memory.close()
        os.close(descriptor)
        _forget(name)


def _new_file() -> tuple[int, str | None]:
    """A file of zeros and a secret, and its name, where the kernel knows no files without one."""
    name = None
    if sys.platform == "linux":
        descriptor = os.memfd_create("kotobamichi", os.MFD_CLOEXEC)
    else:
        descriptor, name = tempfile.mkstemp(prefix="kotobamichi-")
    os.ftruncate(descriptor, BYTES)
    os.pwrite(descriptor, os.urandom(SECRET_BYTES), SECRET_AT)
    return descriptor, name


def _forget(name: str | None) -> None:
    if name is not None:
        Path(name).unlink()
