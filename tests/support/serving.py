"""Small servers of a test's own, each with a listening socket and a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Protocol, TypeVar


class Serves(Protocol):
    """`serve` accepts until its listener is closed."""

    listener: socket.socket

    def serve(self) -> None: ...


S = TypeVar("S", bound=Serves)


@contextlib.contextmanager
def serving(server: S) -> Iterator[S]:
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        thread.join(10)
