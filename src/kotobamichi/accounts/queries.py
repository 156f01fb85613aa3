"""The SQL of accounts, and of links: what proves an address, and how often it was asked for. That of sessions is in sessions.py."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg

from kotobamichi.accounts.tokens import Role
from kotobamichi.db import Connection, Database
from kotobamichi.errors import Conflict
from kotobamichi.mail.messages import Purpose

ACCOUNT: LiteralString = "id, email, role, password_hash, email_verified_at IS NOT NULL, token_version"
# The first half of an advisory lock's two numbers, so that ours are nobody else's; the second is an address's.
MAIL_REQUESTS_LOCK = 0x6D61696C


class Account(msgspec.Struct, frozen=True):
    """`version` is the account's token_version: access tokens made with another one have ended."""

    id: str
    email: str
    role: Role
    password_hash: str | None
    verified: bool
    version: int


async def find_account_by_email(database: Database, email: str) -> Account | None:
    row = await database.fetch_one(
        f"SELECT {ACCOUNT} FROM users WHERE lower(email) = lower(%(email)s)", {"email": email}
    )
    return Account(*row) if row else None


async def find_account(database: Database, user_id: str) -> Account | None:
    row = await database.fetch_one(f"SELECT {ACCOUNT} FROM users WHERE id = %(id)s", {"id": user_id})
    return Account(*row) if row else None


async def lock_account(connection: Connection, user_id: str) -> Account | None:
    """The account as it is now, for this transaction alone: whatever begins or ends its sessions takes this lock first."""
    cursor = await connection.execute(f"SELECT {ACCOUNT} FROM users WHERE id = %s FOR NO KEY UPDATE", (user_id,))
    row = await cursor.fetchone()
    return Account(*row) if row else None


async def insert_account(
    connection: Connection,
    user_id: UUID,
    email: str,
    password_hash: str | None,
    role: Role,
    verified_at: datetime | None,
    google_id: str | None = None,
) -> Account:
    """Raises Conflict where the address is taken, in whatever case it is written."""
    try:
        cursor = await connection.execute(
            "INSERT INTO users (id, email, password_hash, role, email_verified_at, google_id)"
            f" VALUES (%s, %s, %s, %s, %s, %s) RETURNING {ACCOUNT}",
            (user_id, email, password_hash, role, verified_at, google_id),
        )
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != "users_email_key":
            raise
        raise Conflict("User with this email already exists") from None
    row = await cursor.fetchone()
    assert row is not None
    return Account(*row)


async def replace_hash(connection: Connection, account: Account, password_hash: str) -> None:
    """The same password, hashed anew: nothing of the account has changed to anybody."""
    await connection.execute(
        "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s",
        (password_hash, account.id, account.password_hash),
    )


async def set_password(connection: Connection, user_id: str, password_hash: str, now: datetime) -> Account:
    """Ends all access tokens, and the links that could set a password once more."""
    await connection.execute(
        "UPDATE email_tokens SET used_at = %s WHERE user_id = %s AND purpose = 'reset_password' AND used_at IS NULL",
        (now, user_id),
    )
    cursor = await connection.execute(
        "UPDATE users SET password_hash = %s, token_version = token_version + 1, updated_at = %s"
        f" WHERE id = %s RETURNING {ACCOUNT}",
        (password_hash, now, user_id),
    )
    row = await cursor.fetchone()
    assert row is not None
    return Account(*row)


async def mark_verified(connection: Connection, user_id: str, now: datetime) -> None:
    await connection.execute(
        "UPDATE users SET email_verified_at = %s, updated_at = %s WHERE id = %s AND email_verified_at IS NULL",
        (now, now, user_id),
    )


async def link_google(connection: Connection, user_id: str, google_id: str, now: datetime) -> bool:
    """Whether the account can now be logged in to as this Google account; False where it belongs to another one already."""
    cursor = await connection.execute(
        "UPDATE users SET google_id = %s, updated_at = %s WHERE id = %s AND google_id IS NULL",
        (google_id, now, user_id),
    )
    return cursor.rowcount == 1


async def find_account_by_google(database: Database, google_id: str) -> Account | None:
    row = await database.fetch_one(f"SELECT {ACCOUNT} FROM users WHERE google_id = %(google)s", {"google": google_id})
    return Account(*row) if row else None


async def insert_link(
    connection: Connection, email: str, purpose: Purpose, link_id: UUID, token_hash: str, now: datetime, seconds: int
) -> str | None:
    """Stores a link for the account with this address, where there is one that needs it, and gives the address as registered.

    One statement whether or not there is: the answer must not tell, nor how long it took.
    """
    unverified: LiteralString = " AND email_verified_at IS NULL" if purpose == "verify_email" else ""
    cursor = await connection.execute(
        f"WITH account AS (SELECT id, email FROM users WHERE lower(email) = lower(%(email)s){unverified}),"
        " link AS (INSERT INTO email_tokens (id, user_id, purpose, token_hash, created_at, expires_at)"
        " SELECT %(id)s, id, %(purpose)s, %(hash)s, %(now)s, %(expires)s FROM account)"
        " SELECT email FROM account",
        {
            "email": email, "purpose": purpose, "id": link_id, "hash": token_hash, "now": now,
            "expires": now + timedelta(seconds=seconds),
        },
    )  # fmt: skip
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def find_link_owner(database: Database, purpose: Purpose, token_hash: str, now: datetime) -> str | None:
    """Whose link this is, while it can be used."""
    row = await database.fetch_one(
        "SELECT user_id FROM email_tokens WHERE token_hash = %(hash)s AND purpose = %(purpose)s AND used_at IS NULL"
        " AND expires_at > %(now)s",
        {"hash": token_hash, "purpose": purpose, "now": now},
    )
    return str(row[0]) if row else None


async def use_link(connection: Connection, purpose: Purpose, token_hash: str, now: datetime) -> str | None:
    """Whose link this is, for the one caller who uses it first."""
    cursor = await connection.execute(
        "UPDATE email_tokens SET used_at = %(now)s WHERE token_hash = %(hash)s AND purpose = %(purpose)s"
        " AND used_at IS NULL AND expires_at > %(now)s RETURNING user_id",
        {"hash": token_hash, "purpose": purpose, "now": now},
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def mail_requests_of(
    connection: Connection, address_hash: str, purpose: Purpose, now: datetime
) -> tuple[int, float | None]:
    """How many mails were asked for within a day, and how many seconds ago the last was. Others who ask wait until this ends."""
    key: tuple[Any, ...] = (MAIL_REQUESTS_LOCK, address_hash)
    await connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", key)
    cursor = await connection.execute(
        "SELECT count(*), extract(epoch FROM %(now)s - max(requested_at))::float8 FROM mail_requests"
        " WHERE address_hash = %(hash)s AND purpose = %(purpose)s AND requested_at > %(now)s - interval '1 day'",
        {"hash": address_hash, "purpose": purpose, "now": now},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def insert_mail_request(connection: Connection, address_hash: str, purpose: Purpose, now: datetime) -> None:
    await connection.execute(
        "INSERT INTO mail_requests (address_hash, purpose, requested_at) VALUES (%s, %s, %s)",
        (address_hash, purpose, now),
    )
