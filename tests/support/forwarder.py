"""Stands between michi and PostgreSQL and counts how often the two take turns."""

from __future__ import annotations

import contextlib
import select
import socket
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import conninfo

from tests.support.serving import serving

CHUNK = 65536

FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
SHUTDOWN = b"E" + (len(FIELDS) + 4).to_bytes(4, "big") + FIELDS


@dataclass
class Forwarder:
    """`turns` is the number of times that the client spoke after the server had.

    After the server has said `last_word`, it is made to end the session, as an administrator would.
    """

    host: str
    port: str
    turns: int = 0
    last_word: bytes | None = None
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def url(self, server_url: str) -> str:
        """The same database and role, through here."""
        given = conninfo.conninfo_to_dict(server_url)
        login = f"{given['user']}:{given['password']}" if given.get("password") else given["user"]
        return f"postgresql://{login}@127.0.0.1:{self.listener.getsockname()[1]}/{given['dbname']}?sslmode=disable"

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                client, _ = self.listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as PostgreSQL itself does
                with client, self._connect() as server:
                    self._forward(client, server)

    def _connect(self) -> socket.socket:
        if not self.host.startswith("/"):
            return socket.create_connection((self.host, int(self.port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(Path(self.host) / f".s.PGSQL.{self.port}"))
        return server

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        server_spoke = True
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for source, target in ((client, server), (server, client)):
                if source in readable:
                    content = source.recv(CHUNK)
                    if not content:
                        return
                    self.turns += source is client and server_spoke
                    server_spoke = source is server
                    if source is server and self.last_word is not None and self.last_word in content:
                        said, _, _ = content.partition(self.last_word)
                        target.sendall(said + self.last_word + SHUTDOWN)
                        return
                    target.sendall(content)


def forwarding(server_url: str) -> AbstractContextManager[Forwarder]:
    given = conninfo.conninfo_to_dict(server_url)
    return serving(Forwarder(str(given["host"]), str(given.get("port") or 5432)))
