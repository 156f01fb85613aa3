"""What the mails say, in text and HTML, and how a mail becomes a message for SMTP. Neither the web nor the database."""

from __future__ import annotations

import html
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Literal

import msgspec

Purpose = Literal["verify_email", "reset_password", "notice"]
LinkPurpose = Literal["verify_email", "reset_password"]

PATHS: dict[LinkPurpose, str] = {"verify_email": "verify-email", "reset_password": "reset-password"}
PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{subject}</title></head>'
    '<body style="font-family: sans-serif; line-height: 1.5; max-width: 36em; margin: 2em auto">{paragraphs}</body></html>'
)
BUTTON = (
    '<p><a href="{link}" style="background: #1f4e79; color: #fff; padding: .6em 1.2em; border-radius: .3em;'
    ' text-decoration: none">{label}</a></p><p style="color: #555">Or open this address: {link}</p>'
)


class AddressUnusable(Exception):
    """No mail can go to this address, however often it is tried."""


class Letter(msgspec.Struct, frozen=True):
    purpose: Purpose
    subject: str
    text: str
    html: str


def link_letter(purpose: LinkPurpose, app_url: str, token: str, seconds: int) -> Letter:
    """The mail with the link that proves an address or sets a new password, which is good for so many seconds."""
    link = f"{app_url}/{PATHS[purpose]}?token={token}"
    if purpose == "verify_email":
        return _letter(
            purpose,
            "Verify your address for KotobaMichi",
            ["Welcome to KotobaMichi.", f"This link verifies your address. It is good for {duration(seconds)}:"],
            ["If you did not register, do nothing: without the link nobody can log in with your address."],
            (link, "Verify my address"),
        )
    return _letter(
        purpose,
        "Set a new password for KotobaMichi",
        [
            "Somebody, probably you, asked for a new password for KotobaMichi.",
            f"This link sets one. It works once, and for {duration(seconds)}:",
        ],
        ["If it was not you, do nothing: your password stays as it is."],
        (link, "Set a new password"),
    )


def password_changed_letter(app_url: str, now: datetime) -> Letter:
    """Tells the owner of an account what somebody with the password, or with the mail, has done."""
    return _letter(
        "notice",
        "Your KotobaMichi password was changed",
        [
            f"The password of your KotobaMichi account was changed on {now:%d %B %Y at %H:%M} UTC.",
            "If it was not you, set a new one at once:",
        ],
        [],
        (f"{app_url}/forgot-password", "Set a new password"),
    )


def duration(seconds: int) -> str:
    """In the largest unit that is whole: 86400 is `1 day`."""
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}{'s' if seconds != size else ''}"
    return f"{seconds} seconds"


def _letter(purpose: Purpose, subject: str, before: list[str], after: list[str], link: tuple[str, str]) -> Letter:
    address, label = link
    text = "\n\n".join([*before, address, *after]) + "\n"
    button = BUTTON.format(link=html.escape(address), label=html.escape(label))
    paragraphs = "".join([*map(_paragraph, before), button, *map(_paragraph, after)])
    return Letter(purpose, subject, text, PAGE.format(subject=html.escape(subject), paragraphs=paragraphs))


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def compose(letter: Letter, recipient: str, sender: str, message_id: str, now: datetime) -> EmailMessage:
    """The message as SMTP takes it. Raises AddressUnusable for a recipient that no header can hold.

    The addresses are handed over in parts and the policy refuses line breaks, so nothing that somebody typed can end a header.
    `message_id` is the part before the @; the same mail sent again has the same one.
    """
    message = EmailMessage(policy=SMTP)
    name, address = parseaddr(sender)
    from_address = _address(address, name)
    message["From"] = from_address
    message["To"] = _address(recipient)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{message_id}@{from_address.domain or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office notice comes back
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message


def _address(text: str, name: str = "") -> Address:
    local, _, domain = text.rpartition("@")
    if not local or not domain:
        raise AddressUnusable("the address has no name or no domain")
    try:
        if not domain.isascii():
            domain = domain.encode("idna").decode()
        return Address(name, local, domain)
    except (ValueError, HeaderParseError) as error:
        raise AddressUnusable(f"the address cannot be used: {type(error).__name__}") from None
