"""A program that speaks as much of PostgreSQL's protocol as it takes to refuse every login, in any words and any language."""

from __future__ import annotations

import contextlib
import socket
import struct
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tests.support.serving import serving

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
CLEARTEXT_PASSWORD = struct.pack("!cii", b"R", 8, 3)


@dataclass
class Refusing:
    """Listens on a port of 127.0.0.1; `logins` counts those it has refused."""

    sqlstate: str
    message: str
    severity: str = "致命的エラー"
    after_password: bool = False
    logins: int = 0
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # closed: the test is over
                return
            with client, contextlib.suppress(OSError, struct.error):
                client.settimeout(10)
                self._refuse(client)

    def _refuse(self, client: socket.socket) -> None:
        with client.makefile("rb") as stream:
            while True:
                length, code = struct.unpack("!ii", stream.read(8))
                stream.read(length - 8)
                if code not in {SSL_REQUEST, GSS_REQUEST}:
                    break
                client.sendall(b"N")
            if self.after_password:
                client.sendall(CLEARTEXT_PASSWORD)
                (_, length) = struct.unpack("!ci", stream.read(5))
                stream.read(length - 4)
            self.logins += 1
            fields = {
                "S": self.severity,
                "V": "FATAL",
                "C": self.sqlstate,
                "M": self.message,
                "F": "fake.c",
                "L": "1",
                "R": "refuse",
            }
            body = b"".join(key.encode() + value.encode() + b"\0" for key, value in fields.items()) + b"\0"
            client.sendall(b"E" + struct.pack("!i", len(body) + 4) + body)


def refusing_server(sqlstate: str, message: str, *, after_password: bool = False) -> AbstractContextManager[Refusing]:
    return serving(Refusing(sqlstate, message, after_password=after_password))
