"""Logging in with Google: OAuth 2.0's authorization code (RFC 6749) with a state and PKCE (RFC 7636).

What has to be remembered between going to Google and coming back is in a signed cookie of the browser that goes, not with us.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

import httpx
import jwt
import msgspec

from kotobamichi.accounts import queries
from kotobamichi.accounts.queries import Account
from kotobamichi.accounts.schemas import SignedInUser
from kotobamichi.accounts.service import Accounts
from kotobamichi.accounts.tokens import ALGORITHM
from kotobamichi.bodies import clean, is_email
from kotobamichi.errors import Conflict
from kotobamichi.ids import new_id
from kotobamichi.logs import get_log
from kotobamichi.settings import GoogleSettings

log = get_log("kotobamichi.accounts")

LOGIN_COOKIE = "google_login"
LOGIN_SECONDS = 600
WAIT_SECONDS = 10.0

Reason = Literal[
    "google_cancelled", "google_expired", "google_unavailable", "google_address_unverified", "account_unverified",
    "account_taken",
]  # fmt: skip


class GoogleRefused(Exception):
    """Why nobody is logged in; the web client is told the reason as a word in its address."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class GooglePerson(msgspec.Struct, frozen=True):
    """What Google says about a person; `sub` is theirs for ever, an address is not."""

    sub: str
    email: str = ""
    email_verified: bool | str = False


class GoogleToken(msgspec.Struct, frozen=True):
    access_token: str


@dataclass(frozen=True)
class Departure:
    """Where the browser goes, and the cookie that it must bring back."""

    url: str
    cookie: str


def depart(google: GoogleSettings, secret: str, now: datetime) -> Departure:
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "client_id": google.client_id,
        "redirect_uri": google.callback_url,
        "response_type": "code",
        "scope": "openid email",
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    claims = {"type": "google", "state": state, "verifier": verifier, "exp": int(now.timestamp()) + LOGIN_SECONDS}
    return Departure(f"{google.authorization_url}?{urlencode(query)}", jwt.encode(claims, secret, ALGORITHM))


def read_departure(cookie: str | None, state: str | None, secret: str) -> str:
    """The verifier of the login that this browser began. Raises GoogleRefused where it began none, or another, or too long ago."""
    try:
        claims = jwt.decode(cookie or "", secret, [ALGORITHM], options={"require": ["exp"]})
    except (jwt.InvalidTokenError, ValueError):
        raise GoogleRefused("google_expired") from None
    if claims.get("type") != "google" or not secrets.compare_digest(
        str(claims.get("state")).encode(), (state or "").encode()
    ):
        raise GoogleRefused("google_expired")
    return str(claims["verifier"])


async def fetch_person(google: GoogleSettings, code: str, verifier: str) -> GooglePerson:
    """Changes the code for a token and asks whose it is. Raises GoogleRefused."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": google.client_id,
        "client_secret": google.client_secret,
        "redirect_uri": google.callback_url,
        "code_verifier": verifier,
    }
    try:
        async with httpx.AsyncClient(timeout=WAIT_SECONDS, follow_redirects=False) as client:
            answer = await client.post(google.token_url, data=form)
            answer.raise_for_status()
            token = msgspec.json.decode(answer.content, type=GoogleToken)
            headers = {"Authorization": f"Bearer {token.access_token}"}
            answer = await client.get(google.userinfo_url, headers=headers)
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=GooglePerson)
    except (httpx.HTTPError, msgspec.MsgspecError, UnicodeError) as error:
        log.warning("google.no_answer", error=type(error).__name__)
        raise GoogleRefused("google_unavailable") from None


async def log_in_with_google(accounts: Accounts, person: GooglePerson, client: str, now: datetime) -> SignedInUser:
    """A session for the account of this person: the linked one, else the one with the address, else a new one.

    Only an address that Google has verified counts, and only an account whose address is verified is linked: whoever registered
    an address that is not theirs must not share the account with its owner. Raises GoogleRefused.
    """
    address = clean(person.email)
    if person.email_verified not in {True, "true"} or not is_email(address):
        raise GoogleRefused("google_address_unverified")
    account = await queries.find_account_by_google(accounts.database, person.sub)
    if account is None:
        account = await _link_or_create(accounts, person.sub, address, now)
    async with accounts.database.transaction() as connection:
        locked = await queries.lock_account(connection, account.id)
        if locked is None:
            raise GoogleRefused("account_taken")
        return await accounts.sessions.start(connection, locked, client, now)


async def _link_or_create(accounts: Accounts, google_id: str, address: str, now: datetime) -> Account:
    found = await queries.find_account_by_email(accounts.database, address)
    if found is None:
        try:
            async with accounts.database.transaction() as connection:
                return await queries.insert_account(connection, new_id(), address, None, "USER", now, google_id)
        except Conflict:  # somebody was quicker: perhaps this very person, in another tab
            found = await queries.find_account_by_email(accounts.database, address)
    if found is None or not found.verified:
        raise GoogleRefused("account_unverified")
    async with accounts.database.transaction() as connection:
        if not await queries.link_google(connection, found.id, google_id, now):
            again = await queries.find_account_by_google(accounts.database, google_id)
            if again is None or again.id != found.id:
                raise GoogleRefused("account_taken")
    return found
