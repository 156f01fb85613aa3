"""What can be done with accounts: register, log in and out, prove an address, change a password. Callers pass the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kotobamichi.accounts import queries
from kotobamichi.accounts.hashing import Hashing
from kotobamichi.accounts.links import count_request, mail_link
from kotobamichi.accounts.passwords import needs_rehash
from kotobamichi.accounts.queries import Account
from kotobamichi.accounts.schemas import SignedInUser
from kotobamichi.accounts.sessions import Sessions, find_family, hash_token, revoke_all, revoke_family
from kotobamichi.accounts.tokens import TokenExpired, TokenInvalid, read_refresh
from kotobamichi.db import Connection, Database
from kotobamichi.errors import Conflict, Unauthorized
from kotobamichi.ids import new_id
from kotobamichi.logs import get_log
from kotobamichi.mail.messages import LinkPurpose, password_changed_letter
from kotobamichi.mail.outbox import Outbox
from kotobamichi.settings import GoogleSettings

log = get_log("kotobamichi.accounts")

VERIFY_BY_MAIL = "Registration successful. Please verify your email to log in."
VERIFY_BY_ADMINISTRATOR = (
    "Registration successful. An administrator has to activate your account before you can log in."
)
ADDRESS_TAKEN = "User with this email already exists"
WRONG_LOGIN = "Invalid credentials"
BAD_LINK = "Invalid or expired token"
BAD_REFRESH = "Invalid refresh token"
REVOKED = "Refresh token revoked or invalid"


@dataclass(frozen=True)
class Accounts:
    """What the rules of accounts work with."""

    database: Database
    hashing: Hashing
    sessions: Sessions
    outbox: Outbox
    google: GoogleSettings | None = None


async def register(accounts: Accounts, email: str, password: str, now: datetime) -> str:
    """Makes an account and queues its mail, both or neither; gives the sentence for the client. Raises Conflict.

    Without mail nobody can prove an address, so that an administrator has to vouch for it (`kotobamichi admin verify`).
    """
    await _refuse_taken(accounts.database, email)
    password_hash = await accounts.hashing.hash(password)
    async with accounts.database.transaction() as connection:
        account = await queries.insert_account(connection, new_id(), email, password_hash, "USER", None)
        await mail_link(connection, accounts.outbox, email, "verify_email", now)
    accounts.outbox.wake()
    log.info("account.registered", account=account.id)
    return VERIFY_BY_MAIL if accounts.outbox.open else VERIFY_BY_ADMINISTRATOR


async def register_administrator(
    accounts: Accounts, email: str, password: str, client: str, now: datetime
) -> SignedInUser:
    """Makes an administrator, who needs no verification: another one vouches for the address. Raises Conflict."""
    await _refuse_taken(accounts.database, email)
    password_hash = await accounts.hashing.hash(password)
    async with accounts.database.transaction() as connection:
        account = await queries.insert_account(connection, new_id(), email, password_hash, "ADMIN", now)
        session = await accounts.sessions.start(connection, account, client, now)
    log.info("account.administrator_registered", account=account.id)
    return session


async def _refuse_taken(database: Database, email: str) -> None:
    """Before the work of hashing; the constraint decides between two who come at once."""
    if await queries.find_account_by_email(database, email) is not None:
        raise Conflict(ADDRESS_TAKEN)


async def log_in(accounts: Accounts, email: str, password: str, client: str, now: datetime) -> SignedInUser:
    """Raises Unauthorized: the same, after the same work, for a wrong password and for an unknown address."""
    found = await queries.find_account_by_email(accounts.database, email)
    right = await accounts.hashing.verify(password, found.password_hash if found else None)
    if found is None or not right:
        raise Unauthorized(WRONG_LOGIN)
    if not found.verified:
        raise Unauthorized("Email not verified")
    assert found.password_hash is not None
    better = await accounts.hashing.hash(password) if needs_rehash(found.password_hash) else None
    async with accounts.database.transaction() as connection:
        account = await queries.lock_account(connection, found.id)
        # The password may have been changed while this one was compared.
        if account is None or account.version != found.version:
            raise Unauthorized(WRONG_LOGIN)
        if better is not None:
            await queries.replace_hash(connection, account, better)
        return await accounts.sessions.start(connection, account, client, now)


async def refresh(accounts: Accounts, token: str | None, client: str, now: datetime) -> SignedInUser:
    """The next pair of tokens. Raises Unauthorized."""
    if not token:
        raise Unauthorized("Refresh token missing")
    try:
        claims = read_refresh(token, accounts.sessions.secret)
    except (TokenExpired, TokenInvalid):
        raise Unauthorized(BAD_REFRESH) from None
    async with accounts.database.transaction() as connection:
        outcome = await accounts.sessions.rotate(connection, claims, token, client, now)
    if isinstance(outcome, SignedInUser):
        return outcome
    raise Unauthorized("User not found" if outcome is None else REVOKED)


async def log_out(accounts: Accounts, token: str | None, now: datetime) -> None:
    """Ends the session of a refresh token that we signed; any other says nothing about whose session to end."""
    claims = None
    try:
        claims = read_refresh(token or "", accounts.sessions.secret)
    except (TokenExpired, TokenInvalid):
        return
    async with accounts.database.transaction() as connection:
        await queries.lock_account(connection, claims.user_id)
        if (family := await find_family(connection, claims)) is not None:
            await revoke_family(connection, family, now)


async def request_link(accounts: Accounts, email: str, purpose: LinkPurpose, now: datetime) -> None:
    """Mails a link to the account with this address; does as much where there is none. Raises TooManyRequests for both alike."""
    async with accounts.database.transaction() as connection:
        await count_request(connection, accounts.outbox.settings, email, purpose, now)
        await mail_link(connection, accounts.outbox, email, purpose, now)
    accounts.outbox.wake()


async def verify_email(accounts: Accounts, token: str, now: datetime) -> None:
    """Raises Unauthorized for a link that is not ours, too old or used."""
    async with accounts.database.transaction() as connection:
        user_id = await queries.use_link(connection, "verify_email", hash_token(token), now)
        if user_id is None:
            raise Unauthorized(BAD_LINK)
        await queries.mark_verified(connection, user_id, now)


async def reset_password(accounts: Accounts, token: str, password: str, now: datetime) -> None:
    """Sets a password by a mailed link, which proves the address as well. Ends every session. Raises Unauthorized."""
    token_hash = hash_token(token)
    user_id = await queries.find_link_owner(accounts.database, "reset_password", token_hash, now)
    if user_id is None:
        raise Unauthorized(BAD_LINK)
    password_hash = await accounts.hashing.hash(password)
    async with accounts.database.transaction() as connection:
        # The account first, as everywhere: two links of one account used at once would wait for each other in a circle.
        await queries.lock_account(connection, user_id)
        if await queries.use_link(connection, "reset_password", token_hash, now) is None:
            raise Unauthorized(BAD_LINK)
        await queries.mark_verified(connection, user_id, now)
        await _set_password(connection, accounts, user_id, password_hash, now, None)
    accounts.outbox.wake()


async def change_password(
    accounts: Accounts, user_id: str, current: str, new: str, refresh_token: str | None, now: datetime
) -> Account:
    """Ends every session but the one that asks, as far as its refresh token tells which that is. Raises Unauthorized.

    The access tokens of all end, of this session too: the account that is given can sign a new one.
    """
    found = await queries.find_account(accounts.database, user_id)
    right = await accounts.hashing.verify(current, found.password_hash if found else None)
    if found is None or not right:
        raise Unauthorized("Current password incorrect")
    password_hash = await accounts.hashing.hash(new)
    async with accounts.database.transaction() as connection:
        account = await queries.lock_account(connection, user_id)
        if account is None or account.version != found.version:
            raise Unauthorized("Current password incorrect")
        kept = await _family_of(connection, accounts, user_id, refresh_token)
        changed = await _set_password(connection, accounts, user_id, password_hash, now, kept)
    accounts.outbox.wake()
    return changed


async def _family_of(connection: Connection, accounts: Accounts, user_id: str, refresh_token: str | None) -> str | None:
    try:
        claims = read_refresh(refresh_token or "", accounts.sessions.secret)
    except (TokenExpired, TokenInvalid):
        return None
    return await find_family(connection, claims) if claims.user_id == user_id else None


async def _set_password(
    connection: Connection,
    accounts: Accounts,
    user_id: str,
    password_hash: str,
    now: datetime,
    except_family: str | None,
) -> Account:
    account = await queries.set_password(connection, user_id, password_hash, now)
    await revoke_all(connection, user_id, now, except_family)
    letter = password_changed_letter(accounts.outbox.settings.app_url, now)
    await accounts.outbox.add(connection, account.email, letter, now)
    log.info("account.password_changed", account=user_id)
    return account
