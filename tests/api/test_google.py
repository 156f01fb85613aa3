"""Logging in with Google, against a server that checks what Google checks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from kotobamichi.ids import new_id
from kotobamichi.settings import read_settings
from tests.support.accounts import PASSWORD, SECRET, account
from tests.support.google import Google, google_running
from tests.support.inside import inside

HOME = "https://learn.example.org"
Work = Callable[[httpx.AsyncClient], Awaitable[None]]


class Setting:
    """A Google, a database, and an app between them."""

    def __init__(self, google: Google, url: str) -> None:
        self.google = google
        self.url = url

    def play(self, work: Work) -> None:
        environ = {"DATABASE_URL": self.url, "JWT_SECRET": SECRET, "RATE_LIMIT": "off", "MAIL": "off", "APP_URL": HOME}
        settings = replace(read_settings(environ), google=self.google.settings)

        async def main() -> None:
            async with inside(settings) as client:
                await work(client)

        asyncio.run(main())

    def account(self, email: str) -> tuple[Any, ...] | None:
        with psycopg.connect(self.url) as connection:
            return connection.execute(
                "SELECT id::text, email, role, google_id, password_hash, email_verified_at IS NOT NULL FROM users"
                " WHERE lower(email) = lower(%s)",
                (email,),
            ).fetchone()

    async def come_back(self, client: httpx.AsyncClient, person: dict[str, Any]) -> httpx.Response:
        """A whole login: there, agree, back."""
        going = await client.get("/v1/auth/google")
        assert going.status_code == 302, going.text
        return await client.get(self.google.consent(going.headers["location"], person))


@pytest.fixture
def setting(vocabulary_url: str) -> Iterator[Setting]:
    with google_running() as google:
        yield Setting(google, vocabulary_url)


def person_at(email: str, *, verified: bool | str = True) -> dict[str, Any]:
    return {"sub": new_id().hex, "email": email, "email_verified": verified, "name": "whoever"}


def new_address() -> str:
    return f"{new_id().hex[-12:]}@example.org"


def outcome(answer: httpx.Response) -> str:
    assert answer.status_code == 302, answer.text
    location: str = answer.headers["location"]
    return "home" if location == HOME else location.removeprefix(f"{HOME}/login?error=")


def test_a_new_person_gets_an_account_and_a_session_and_the_same_one_again(setting: Setting) -> None:
    person = person_at(new_address())

    async def work(client: httpx.AsyncClient) -> None:
        going = await client.get("/v1/auth/google")
        cookie = going.headers["set-cookie"]
        assert cookie.startswith("google_login=")
        assert "Max-Age=600; Path=/v1/auth/google; HttpOnly; SameSite=Lax" in cookie
        back = await client.get(setting.google.consent(going.headers["location"], person))
        assert outcome(back) == "home"
        names = [header.partition("=")[0] for header in back.headers.get_list("set-cookie")]
        assert names == ["google_login", "access_token", "refresh_token"]
        assert "google_login" not in client.cookies
        user = (await client.get("/v1/auth/validate")).json()["user"]
        assert user["email"] == person["email"]
        assert (await client.post("/v1/auth/refresh")).status_code == 201
        client.cookies.clear()
        # An address may change at Google; who it is does not.
        assert outcome(await setting.come_back(client, person | {"email": new_address()})) == "home"
        assert (await client.get("/v1/auth/validate")).json()["user"] == user
        answer = await client.post("/v1/auth/login", json={"email": person["email"], "password": "anything"})
        assert (answer.status_code, answer.json()["message"]) == (401, "Invalid credentials")

    setting.play(work)
    stored = setting.account(person["email"])
    assert stored is not None
    assert stored[1:] == (person["email"], "USER", person["sub"], None, True)


def test_a_verified_account_is_linked_and_an_unverified_one_is_not(setting: Setting) -> None:
    verified, unverified = new_address(), new_address()
    user_id = account(setting.url, verified)
    account(setting.url, unverified, verified=False)
    person = person_at(verified.upper())

    async def work(client: httpx.AsyncClient) -> None:
        assert outcome(await setting.come_back(client, person)) == "home"
        assert (await client.get("/v1/auth/validate")).json()["user"]["id"] == user_id
        client.cookies.clear()
        answer = await client.post("/v1/auth/login", json={"email": verified, "password": PASSWORD})
        assert answer.status_code == 201, "the password still works"
        client.cookies.clear()
        assert outcome(await setting.come_back(client, person_at(unverified))) == "account_unverified"
        assert outcome(await setting.come_back(client, person_at(verified))) == "account_taken"
        assert "access_token" not in client.cookies

    setting.play(work)
    linked, left = setting.account(verified), setting.account(unverified)
    assert linked is not None
    assert left is not None
    assert (linked[3], left[3]) == (person["sub"], None)


@pytest.mark.parametrize(
    "person", [{"verified": False}, {"verified": "false"}, {"email": "no address"}, {"email": "a@example.org\nx"}]
)
def test_only_an_address_that_google_has_verified_counts(setting: Setting, person: dict[str, Any]) -> None:
    address = person.get("email", new_address())

    async def work(client: httpx.AsyncClient) -> None:
        answer = await setting.come_back(client, person_at(address, verified=person.get("verified", True)))
        assert outcome(answer) == "google_address_unverified"

    setting.play(work)
    assert setting.account(address) is None


def test_what_was_not_begun_here_does_not_end_here(setting: Setting) -> None:
    person = person_at(new_address())

    async def work(client: httpx.AsyncClient) -> None:
        going = await client.get("/v1/auth/google")
        path = setting.google.consent(going.headers["location"], person)
        cookie = client.cookies["google_login"]
        client.cookies.clear()
        for headers in ({}, {"Cookie": "google_login=junk"}):
            assert outcome(await client.get(path, headers=headers)) == "google_expired", "another browser"
        other = await client.get("/v1/auth/google")
        assert other.headers["location"] != going.headers["location"]
        assert outcome(await client.get(path)) == "google_expired", "another login of this browser"
        client.cookies.clear()
        mine = {"Cookie": f"google_login={cookie}"}
        state = path.partition("state=")[2]
        answer = await client.get(f"/v1/auth/google/callback?error=access_denied&state={state}", headers=mine)
        assert outcome(answer) == "google_cancelled"
        answer = await client.get(f"/v1/auth/google/callback?code=junk&state={state}", headers=mine)
        assert outcome(answer) == "google_unavailable"
        assert outcome(await client.get(path, headers=mine)) == "home"
        client.cookies.clear()
        assert outcome(await client.get(path, headers=mine)) == "google_unavailable", "Google takes a code once"

    setting.play(work)


def test_a_code_of_another_login_fails_at_google_for_its_verifier(setting: Setting) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        theirs = await client.get("/v1/auth/google")
        stolen = setting.google.consent(theirs.headers["location"], person_at(new_address()))
        code = stolen.partition("code=")[2].partition("&")[0]
        mine = await client.get("/v1/auth/google")
        state = mine.headers["location"].partition("state=")[2].partition("&")[0]
        answer = await client.get(f"/v1/auth/google/callback?code={code}&state={state}")
        assert outcome(answer) == "google_unavailable"

    setting.play(work)


def test_a_google_that_is_broken_or_away_is_told_to_the_web_client(setting: Setting) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        setting.google.broken = True
        assert outcome(await setting.come_back(client, person_at(new_address()))) == "google_unavailable"

    setting.play(work)


def test_the_same_new_person_in_two_tabs_is_one_account(setting: Setting) -> None:
    person = person_at(new_address())

    async def work(client: httpx.AsyncClient) -> None:
        paths = []
        for _ in range(3):
            going = await client.get("/v1/auth/google")
            cookie = {"Cookie": f"google_login={client.cookies['google_login']}"}
            paths.append((setting.google.consent(going.headers["location"], person), cookie))
            client.cookies.clear()
        answers = await asyncio.gather(*(client.get(path, headers=headers) for path, headers in paths))
        assert [outcome(answer) for answer in answers] == ["home"] * 3

    setting.play(work)
