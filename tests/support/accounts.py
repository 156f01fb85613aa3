"""Accounts and signed-in clients for tests: made in the database, so that a test of words need not register anybody."""

from __future__ import annotations

import functools
import itertools
from datetime import UTC, datetime
from typing import Literal

import httpx
import psycopg

from kotobamichi.accounts.passwords import hash_password
from kotobamichi.accounts.tokens import AccessClaims, sign_access
from kotobamichi.ids import new_id
from tests.support.app import App

# The JWT_SECRET of the apps that tests start.
SECRET = "a secret of the tests alone, as long as it has to be"
PASSWORD = "correct horse battery staple"
TOKEN_SECONDS = 3600

_numbers = itertools.count(1)


class SignedIn(httpx.Client):
    """A client of the app that carries the access token of an account."""

    def __init__(self, app: App, user_id: str, email: str, role: str) -> None:
        claims = AccessClaims(user_id, email, role, version=0)
        token = sign_access(claims, app.settings["JWT_SECRET"], datetime.now(UTC), TOKEN_SECONDS)
        super().__init__(base_url=app.url, timeout=20.0, headers={"Authorization": f"Bearer {token}"})
        self.id = user_id
        self.email = email
        self.role = role


@functools.cache
def hashed(password: str) -> str:
    """The hash of a password, made once for all accounts that share it."""
    return hash_password(password)


def account(
    url: str,
    email: str | None = None,
    role: Literal["USER", "ADMIN"] = "USER",
    *,
    password: str = PASSWORD,
    verified: bool = True,
) -> str:
    """Stores an account in the database at `url` and gives its id; the address is one of its own if none is given."""
    user_id = new_id()
    address = email or f"person-{next(_numbers)}-{user_id.hex[-6:]}@example.org"
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO users (id, email, password_hash, role, email_verified_at) VALUES (%s, %s, %s, %s, %s)",
            (user_id, address, hashed(password), role, datetime.now(UTC) if verified else None),
        )
    return str(user_id)


def learner(app: App, email: str | None = None) -> SignedIn:
    """A client signed in as a new learner. Close it, or use it as a context."""
    return _signed_in(app, email, "USER")


def administrator(app: App, email: str | None = None) -> SignedIn:
    """A client signed in as a new administrator."""
    return _signed_in(app, email, "ADMIN")


def _signed_in(app: App, email: str | None, role: Literal["USER", "ADMIN"]) -> SignedIn:
    address = email or f"{role.lower()}-{next(_numbers)}-{new_id().hex[-6:]}@example.org"
    return SignedIn(app, account(app.settings["DATABASE_URL"], address, role), address, role)
