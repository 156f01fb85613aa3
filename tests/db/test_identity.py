"""Who is asking: what is remembered of tokens and accounts is never older than the request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from kotobamichi.accounts import identity
from kotobamichi.accounts.identity import ACCESS_COOKIE, Identities
from kotobamichi.accounts.tokens import AccessClaims, TokenExpired, sign_access
from kotobamichi.db import Database
from kotobamichi.freshness import Freshness
from michi.settings import parse_url
from tests.support.accounts import SECRET, account

EMAIL = "mika@example.org"


def use(url: str, work: Callable[[Identities], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database(parse_url(url, "test"), 4, "kotobamichi/test")
        await database.open()
        try:
            async with asyncio.timeout(30):
                await work(Identities(database, Freshness(database), SECRET))
        finally:
            await database.close()

    asyncio.run(main())


def token_for(user_id: str, role: str = "USER", version: int = 0, late: int = 0) -> str:
    signed_at = datetime.now(UTC) - timedelta(seconds=late)
    return sign_access(AccessClaims(user_id, EMAIL, role, version), SECRET, signed_at, 900)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET role = 'ADMIN'",
        "UPDATE users SET token_version = token_version + 1",
        "DELETE FROM users",
        "TRUNCATE users CASCADE",
    ],
)
def test_a_change_of_the_account_counts_for_the_next_request(people_url: str, change: str) -> None:
    user_id = account(people_url, EMAIL)

    async def work(identities: Identities) -> None:
        cookies = {ACCESS_COOKIE: token_for(user_id)}
        for _ in range(3):
            found = await identities.find(cookies, None)
            assert found is not None
            assert (found.id, found.email, found.role) == (user_id, EMAIL, "USER")
        with psycopg.connect(people_url) as connection:
            connection.execute(change.encode())
        assert await identities.find(cookies, None) is None

    use(people_url, work)


def test_a_new_address_is_known_to_the_next_request_with_the_old_token(people_url: str) -> None:
    user_id = account(people_url, EMAIL)

    async def work(identities: Identities) -> None:
        cookies = {ACCESS_COOKIE: token_for(user_id)}
        await identities.find(cookies, None)
        with psycopg.connect(people_url) as connection:
            connection.execute("UPDATE users SET email = 'new@example.org'")
        found = await identities.find(cookies, None)
        assert found is not None
        assert found.email == "new@example.org"

    use(people_url, work)


def test_a_remembered_token_still_ends_in_time(people_url: str) -> None:
    user_id = account(people_url, EMAIL)

    async def work(identities: Identities) -> None:
        token = token_for(user_id)
        assert await identities.find({ACCESS_COOKIE: token}, None) is not None
        # Fifteen minutes pass.
        identities.verified[token] = replace(identities.verified[token], expires=int(time.time()))
        with pytest.raises(TokenExpired):
            identities.read(token)
        assert not identities.verified

    use(people_url, work)


def test_the_cookie_counts_before_the_bearer_unless_it_is_bad(people_url: str) -> None:
    first, second = account(people_url), account(people_url)

    async def work(identities: Identities) -> None:
        bearer = f"Bearer {token_for(second)}"
        for cookie, expected in (
            (token_for(first), first),
            ("junk", second),
            (token_for(first, late=1000), second),
            (token_for(first, version=1), second),
            (token_for(first, role="ADMIN"), second),
            ("", second),
        ):
            found = await identities.find({ACCESS_COOKIE: cookie}, bearer)
            assert found is not None
            assert found.id == expected
        for header in (None, "", "Bearer", "Bearer ", f"Basic {token_for(second)}", token_for(second)):
            assert await identities.find({}, header) is None
        found = await identities.find({}, f"bearer   {token_for(second)}")
        assert found is not None

    use(people_url, work)


def test_what_is_remembered_has_an_end(people_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MOST_REMEMBERED", 3)
    users = [account(people_url) for _ in range(5)]

    async def work(identities: Identities) -> None:
        for _ in range(2):
            for user_id in users:
                assert await identities.find({ACCESS_COOKIE: token_for(user_id)}, None) is not None
        assert len(identities.known) == len(identities.verified) == 3

    use(people_url, work)
