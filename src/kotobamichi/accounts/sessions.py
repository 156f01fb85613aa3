"""Sessions: a family of refresh tokens that descend from one login, each used once, and the access tokens that go with them.

Whatever begins or ends a session of an account first locks the account's row, so that a refresh and a logout at the same moment
cannot pass each other. A row holds what its token was made of, and no token: a successor is signed again when it is told again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from kotobamichi.accounts.queries import Account, lock_account
from kotobamichi.accounts.schemas import SignedInUser, User
from kotobamichi.accounts.tokens import AccessClaims, RefreshClaims, sign_access, sign_refresh
from kotobamichi.db import Connection
from kotobamichi.ids import new_id

# How long after its rotation a token may be used once more by the same client: tabs that refresh at once, an answer that got lost.
GRACE = timedelta(seconds=10)


@dataclass(frozen=True)
class Sessions:
    """Signs tokens. Durations are seconds."""

    secret: str
    access_seconds: int
    refresh_seconds: int

    def access_token(self, account: Account, now: datetime) -> str:
        claims = AccessClaims(account.id, account.email, account.role, account.version)
        return sign_access(claims, self.secret, now, self.access_seconds)

    def answer(self, account: Account, refresh_token: str, now: datetime) -> SignedInUser:
        user = User(account.id, account.email, account.role)
        return SignedInUser(self.access_token(account, now), refresh_token, user)

    async def start(self, connection: Connection, account: Account, client: str, now: datetime) -> SignedInUser:
        """A login: a family of its own. The account must be locked in this transaction, or new in it."""
        family = new_id()
        return self.answer(account, await self._issue(connection, account.id, family, family, client, now), now)

    async def rotate(
        self, connection: Connection, claims: RefreshClaims, token: str, client: str, now: datetime
    ) -> SignedInUser | Account | None:
        """The successor's session; the account alone where the token no longer counts; None where there is no account.

        A token that was used before ends its family, unless it is used again within GRACE by the client that used it: that one is
        given what it was given before. What this writes must be committed in any case.
        """
        account = await lock_account(connection, claims.user_id)
        if account is None:
            return None
        cursor = await connection.execute(
            "SELECT family_id, client, revoked_at IS NULL, replaced_by IS NOT NULL, revoked_at > %s - %s"
            " FROM refresh_tokens WHERE id = %s AND user_id = %s AND token_hash = %s AND expires_at > %s",
            (now, GRACE, claims.token_id, claims.user_id, hash_token(token), now),
        )
        row = await cursor.fetchone()
        if row is None:
            return account
        family, rotated_for, live, replaced, recent = row
        if live:
            new = new_id()
            await connection.execute(
                "UPDATE refresh_tokens SET revoked_at = %s, replaced_by = %s, client = %s WHERE id = %s",
                (now, new, client, claims.token_id),
            )
            return self.answer(account, await self._issue(connection, account.id, family, new, client, now), now)
        if replaced and recent and rotated_for == client:
            newest = await self._newest(connection, account.id, family)
            return self.answer(account, newest, now) if newest else account
        if replaced:
            await revoke_family(connection, family, now)
        return account

    async def _issue(
        self, connection: Connection, user_id: str, family: str | UUID, token_id: UUID, client: str, now: datetime
    ) -> str:
        issued = int(now.timestamp())
        expires = issued + self.refresh_seconds
        token = sign_refresh(user_id, str(token_id), self.secret, issued, expires)
        await connection.execute(
            "INSERT INTO refresh_tokens (id, user_id, family_id, token_hash, client, issued_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, to_timestamp(%s), to_timestamp(%s))",
            (token_id, user_id, family, hash_token(token), client, issued, expires),
        )
        return token

    async def _newest(self, connection: Connection, user_id: str, family: str) -> str | None:
        """The one token of the family that has not been used, made again; None where the family has ended."""
        cursor = await connection.execute(
            "SELECT id, extract(epoch FROM issued_at)::bigint, extract(epoch FROM expires_at)::bigint FROM refresh_tokens"
            " WHERE family_id = %s AND revoked_at IS NULL",
            (family,),
        )
        row = await cursor.fetchone()
        return sign_refresh(user_id, row[0], self.secret, row[1], row[2]) if row else None


async def find_family(connection: Connection, claims: RefreshClaims) -> str | None:
    """The session that a refresh token belongs to."""
    cursor = await connection.execute(
        "SELECT family_id FROM refresh_tokens WHERE id = %s AND user_id = %s", (claims.token_id, claims.user_id)
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def revoke_family(connection: Connection, family: str, now: datetime) -> None:
    await connection.execute(
        "UPDATE refresh_tokens SET revoked_at = %s WHERE family_id = %s AND revoked_at IS NULL", (now, family)
    )


async def revoke_all(connection: Connection, user_id: str, now: datetime, except_family: str | None = None) -> None:
    """Ends every session of the account, or every other one."""
    await connection.execute(
        "UPDATE refresh_tokens SET revoked_at = %(now)s WHERE user_id = %(user)s AND revoked_at IS NULL"
        " AND family_id IS DISTINCT FROM %(kept)s::uuid",
        {"now": now, "user": user_id, "kept": except_family},
    )


def hash_token(token: str) -> str:
    """SHA-256 hex: of a token with this much randomness it gives nothing away."""
    return hashlib.sha256(token.encode()).hexdigest()


def fingerprint(address: str, user_agent: str) -> str:
    """What tells one client from another, without keeping either in the table."""
    return hashlib.sha256(f"{address}\n{user_agent}".encode()).hexdigest()
