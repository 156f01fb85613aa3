"""A real SMTP server in the test process, which keeps what it is sent and refuses what it is told to refuse."""

from __future__ import annotations

import email
import email.policy
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from tests.support.servers import free_port

WAIT_SECONDS = 30.0
LINK_TOKEN = re.compile(r"\?token=([\w-]+)")


@dataclass(frozen=True)
class Received:
    """A mail as it came: to whom by the envelope, and the message."""

    recipient: str
    message: EmailMessage

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        assert body is not None, self.message
        return str(body.get_content())

    @property
    def token(self) -> str:
        """Of the link in the text."""
        found = LINK_TOKEN.search(self.text)
        assert found is not None, self.text
        return found[1]


class Mailbox:
    """What has arrived. `refuse` gives SMTP's answer to a recipient and a stage (`RCPT`, `DATA`), None to take the mail."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.tried = 0
        self.refuse: Callable[[str, str], str | None] = lambda _recipient, _stage: None
        self.arrival = threading.Condition()
        self.port = 0

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:  # noqa: N802 -- the server asks for this name
        with self.arrival:
            self.tried += 1
            self.arrival.notify_all()
        if refusal := self.refuse(address, "RCPT"):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802 -- the server asks for this name
        if refusal := self.refuse(envelope.rcpt_tos[0], "DATA"):
            return refusal
        assert isinstance(envelope.content, bytes)
        message: Any = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self.arrival:
            self.received += [Received(recipient, message) for recipient in envelope.rcpt_tos]
            self.arrival.notify_all()
        return "250 OK"

    def to(self, recipient: str) -> list[Received]:
        return [mail for mail in self.received if mail.recipient == recipient]

    def wait_for(self, recipient: str, count: int = 1) -> Received:
        """The newest mail to this address, once there are so many."""
        with self.arrival:
            arrived = self.arrival.wait_for(lambda: len(self.to(recipient)) >= count, WAIT_SECONDS)
        assert arrived, f"{len(self.to(recipient))} of {count} mails to {recipient} within {WAIT_SECONDS:g} s"
        return self.to(recipient)[-1]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        with self.arrival:
            assert self.arrival.wait_for(holds, WAIT_SECONDS)


@contextmanager
def listening(
    mailbox: Mailbox, port: int | None = None, tls: ssl.SSLContext | None = None, password: str | None = None
) -> Iterator[Mailbox]:
    """Runs the server of a mailbox: with STARTTLS if it has a certificate, only for who knows the password if there is one."""
    mailbox.port = port or free_port()

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=given.password == (password or "").encode(), handled=False)

    security: dict[str, Any] = {"tls_context": tls} if tls else {}
    if password:
        security |= {"authenticator": authenticate, "auth_required": True}
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, enable_SMTPUTF8=True, **security)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
