"""Mailed links: asked for as often as the operator allows, and used once. What a link opens is in service.py."""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass
from datetime import datetime

from kotobamichi.accounts import queries
from kotobamichi.accounts.sessions import hash_token
from kotobamichi.db import Connection
from kotobamichi.errors import TooManyRequests
from kotobamichi.ids import new_id
from kotobamichi.mail.messages import LinkPurpose, link_letter
from kotobamichi.mail.outbox import Outbox
from kotobamichi.settings import MailSettings

TOKEN_BYTES = 32
NAMES: dict[LinkPurpose, str] = {"verify_email": "verification", "reset_password": "password reset"}


@dataclass(frozen=True)
class Allowance:
    """How long a kind of link is good, and how often one address may ask for it. Durations are seconds."""

    seconds: int
    cooldown_seconds: int
    daily_limit: int


def allowance(settings: MailSettings, purpose: LinkPurpose) -> Allowance:
    if purpose == "verify_email":
        return Allowance(
            settings.verification_seconds, settings.verification_cooldown_seconds, settings.verification_daily_limit
        )
    return Allowance(settings.reset_seconds, settings.reset_cooldown_seconds, settings.reset_daily_limit)


async def mail_link(connection: Connection, outbox: Outbox, email: str, purpose: LinkPurpose, now: datetime) -> None:
    """Queues the mail with a new link, where an account has this address and needs one. The same statements run where none has."""
    if not outbox.open:
        return
    settings = outbox.settings
    token = secrets.token_urlsafe(TOKEN_BYTES)
    seconds = allowance(settings, purpose).seconds
    recipient = await queries.insert_link(connection, email, purpose, new_id(), hash_token(token), now, seconds)
    await outbox.add(connection, recipient, link_letter(purpose, settings.app_url, token, seconds), now)


async def count_request(
    connection: Connection, settings: MailSettings, email: str, purpose: LinkPurpose, now: datetime
) -> None:
    """Notes that a link was asked for. Raises TooManyRequests where that was too soon or too often, account or no account."""
    allowed = allowance(settings, purpose)
    address_hash = hash_address(email)
    today, seconds_ago = await queries.mail_requests_of(connection, address_hash, purpose, now)
    if seconds_ago is not None and seconds_ago < allowed.cooldown_seconds:
        # A clock that was set back must not make anybody wait longer than the rule says.
        wait = min(math.ceil(allowed.cooldown_seconds - seconds_ago), allowed.cooldown_seconds)
        raise TooManyRequests(
            f"Please wait {wait}s before requesting another {NAMES[purpose]} email.", {"Retry-After": str(wait)}
        )
    if today >= allowed.daily_limit:
        raise TooManyRequests(f"Daily limit for {NAMES[purpose]} emails reached. Try again later.")
    await queries.insert_mail_request(connection, address_hash, purpose, now)


def hash_address(email: str) -> str:
    return hashlib.sha256(email.lower().encode()).hexdigest()
