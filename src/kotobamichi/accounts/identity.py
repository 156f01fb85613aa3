"""Who is asking: the guards of routes. A token says who it was made for; whether that still counts, the account says."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from kotobamichi.accounts.tokens import AccessClaims, TokenExpired, TokenInvalid, read_access
from kotobamichi.db import Database
from kotobamichi.errors import Forbidden, Unauthenticated
from kotobamichi.freshness import Freshness
from kotobamichi.ids import parse_id
from kotobamichi.pipeline import Statement

ACCESS_COOKIE = "access_token"
MOST_REMEMBERED = 20_000
ACCOUNT = Statement("SELECT id, email, role, token_version FROM users WHERE id = $1")

Connection = ASGIConnection[Any, Any, Any, Any]


class Identity(msgspec.Struct, frozen=True):
    """The account behind a request, as it is now; `version` is its token_version."""

    id: str
    email: str
    role: str
    version: int

    @property
    def is_admin(self) -> bool:
        return self.role == "ADMIN"


class Identities:
    """Turns tokens into accounts. What was read of an account is good until the revision of accounts grows."""

    def __init__(self, database: Database, freshness: Freshness, secret: str) -> None:
        self.database = database
        self.freshness = freshness
        self.secret = secret
        self.known: OrderedDict[str, tuple[int, Identity]] = OrderedDict()

    async def find(self, cookies: Mapping[str, str], authorization: str | None) -> Identity | None:
        """Who the request is from: the cookie's token, else the bearer's, whichever still counts."""
        for token in (cookies.get(ACCESS_COOKIE), _bearer(authorization)):
            if token:
                try:
                    claims = read_access(token, self.secret)
                except (TokenExpired, TokenInvalid):
                    continue
                if (identity := await self.account_of(claims)) is not None:
                    return identity
        return None

    async def account_of(self, claims: AccessClaims) -> Identity | None:
        """The account, unless it is gone or its password or role has changed since the token was made."""
        if parse_id(claims.user_id) is None:
            return None
        revision = (await self.freshness.look())["accounts"]
        known = self.known.get(claims.user_id)
        if known is None or known[0] != revision:
            rows = await self.database.read(ACCOUNT, claims.user_id)
            if not rows:
                return None
            known = (revision, Identity(*rows[0]))
            self.known[claims.user_id] = known
            if len(self.known) > MOST_REMEMBERED:
                self.known.popitem(last=False)
        identity = known[1]
        return identity if claims.version == identity.version and claims.role == identity.role else None


def _bearer(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def notice(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Guard: who is asking is known where a token counts; nobody is refused."""
    identities: Identities = connection.app.state.identities
    connection.scope["user"] = await identities.find(connection.cookies, connection.headers.get("authorization"))


async def signed_in(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard: raises Unauthenticated without a token that counts."""
    await notice(connection, handler)
    if connection.scope["user"] is None:
        raise Unauthenticated


async def administrator(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard: Unauthenticated without a token, Forbidden for everybody but administrators."""
    await signed_in(connection, handler)
    if not connection.scope["user"].is_admin:
        raise Forbidden("Forbidden resource")


def asker(connection: Connection) -> Identity:
    """Who is asking, behind the guards `signed_in` and `administrator`."""
    identity = connection.scope["user"]
    assert isinstance(identity, Identity)
    return identity


def possible_asker(connection: Connection) -> Identity | None:
    """Who is asking, behind the guard `notice`."""
    identity: Identity | None = connection.scope["user"]
    return identity
