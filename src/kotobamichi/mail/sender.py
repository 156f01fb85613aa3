"""How a mail leaves: over SMTP, or in development into the log."""

from __future__ import annotations

import asyncio
import ssl
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib

from kotobamichi.logs import get_log
from kotobamichi.settings import MailSettings

log = get_log("kotobamichi.mail")

# For the whole conversation: well within the lease of a mail.
SEND_SECONDS = 60.0


class MailRefused(Exception):
    """The server takes this mail neither now nor later: an address that is not there, a message it does not want."""


class MailDelayed(Exception):
    """Not now: the server is away, busy, or does not know us."""


class Sender(Protocol):
    async def send(self, message: EmailMessage) -> None:
        """Raises MailRefused or MailDelayed."""


class SmtpSender:
    """Sends over SMTP. TLS from the start, or STARTTLS wherever the server offers it; a password never travels without TLS."""

    def __init__(self, settings: MailSettings, tls: ssl.SSLContext | None = None) -> None:
        self.settings = settings
        self.tls = tls

    async def send(self, message: EmailMessage) -> None:
        settings = self.settings
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await aiosmtplib.send(
                    message,
                    hostname=settings.host,
                    port=settings.port,
                    username=settings.user,
                    password=settings.password,
                    use_tls=settings.implicit_tls,
                    start_tls=False if settings.implicit_tls else True if settings.user else None,
                    tls_context=self.tls,
                    timeout=SEND_SECONDS,
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal([refused.code for refused in error.recipients]) from None
        except aiosmtplib.SMTPDataError as error:
            raise _refusal([error.code]) from None
        except aiosmtplib.SMTPResponseException as error:
            # The server has something against us rather than this mail: an operator can mend that.
            raise MailDelayed(f"{type(error).__name__} {error.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            # Words of the library's own, such as that the server has no STARTTLS; all others may hold an address.
            own = type(error) is aiosmtplib.SMTPException
            raise MailDelayed(str(error) if own else type(error).__name__) from None
        except ValueError:
            raise MailRefused("the address cannot be put on SMTP's wire") from None


def _refusal(codes: list[int]) -> MailRefused | MailDelayed:
    """RFC 5321, 4.2.1: 5yz is for ever, 4yz may be otherwise later. The server's words are left out: they repeat the address."""
    told = f"the server answered {', '.join(map(str, codes))}"
    return MailRefused(told) if all(code >= 500 for code in codes) else MailDelayed(told)


class LogSender:
    """Writes the link to the log in place of sending: for development, where whoever reads the log is everybody."""

    async def send(self, message: EmailMessage) -> None:
        body = message.get_body(("plain",))
        text = str(body.get_content()) if body is not None else ""
        links = [line for line in text.splitlines() if "://" in line]
        log.info("mail.logged", subject=message["Subject"], links=" ".join(links))


def make_sender(settings: MailSettings) -> Sender | None:
    """None where the operator runs without mail."""
    if settings.mode == "off":
        return None
    # One context for all mails: making it reads every certificate that this machine trusts.
    return SmtpSender(settings, ssl.create_default_context()) if settings.mode == "smtp" else LogSender()
