"""Accounts over HTTP: sessions, cookies, links, limits. What a single request is answered is in golden/accounts.py.

The faults of the original backend that must not come back (contract, section 2) are tests here, each named after its fact:

| fault | test |
|---|---|
| seeded admin that cannot log in | test_operators.py: test_the_first_administrator_can_log_in |
| default admin password | test_operators.py: test_a_made_up_password_is_never_the_same |
| refresh token accepted as access token | test_a_refresh_token_opens_nothing, golden |
| unsigned token honoured at logout | test_only_a_token_that_we_signed_ends_a_session |
| 3 of 4 parallel refreshes succeed | test_of_many_parallel_refreshes_one_rotates_and_all_get_its_successor |
| validate clears the refresh cookie | test_validate_clears_the_access_cookie_alone |
| login timing tells users apart | test_an_unknown_address_takes_as_long_as_a_wrong_password |
| bcrypt cuts at 72 bytes | test_every_byte_of_a_long_password_counts |
| `A@b.co` and `a@b.co` both register | golden: register again in another case |
| parallel register is a 500 | test_of_many_parallel_registrations_one_makes_the_account |
| passwords and addresses in logs | test_the_log_knows_neither_passwords_nor_addresses_nor_tokens |
| NUL bytes, blanks, nulls | golden: register with a NUL, with blanks, with nulls |
| HTML of mails interpolates unescaped | unit: test_whatever_is_put_into_a_mail_is_escaped |
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import bcrypt
import httpx
import psycopg
import pytest

from kotobamichi.accounts.links import hash_address
from kotobamichi.accounts.tokens import AccessClaims, sign_access, sign_refresh
from kotobamichi.ids import new_id
from tests.support.accounts import PASSWORD, SECRET, account, administrator, learner
from tests.support.app import App
from tests.support.mailbox import Mailbox

SUCCESS = {"success": True}


@pytest.fixture
def database(app: App) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with psycopg.connect(app.settings["DATABASE_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def browser(app: App) -> Iterator[httpx.Client]:
    """A client that keeps cookies, and is nobody yet."""
    with app.client() as client:
        client.headers["User-Agent"] = "browser"
        yield client


def new_address() -> str:
    return f"{new_id().hex[-12:]}@example.org"


def person(app: App, **more: Any) -> tuple[str, str]:
    """A stored account: its id and address."""
    address = new_address()
    return account(app.settings["DATABASE_URL"], address, **more), address


def log_in(client: httpx.Client, email: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = client.post("/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refresh(client: httpx.Client, token: str, agent: str = "browser") -> httpx.Response:
    client.cookies.clear()
    return client.post("/v1/auth/refresh", headers={"Cookie": f"refresh_token={token}", "User-Agent": agent})


def set_cookies(answer: httpx.Response) -> dict[str, str]:
    return {header.partition("=")[0]: header for header in answer.headers.get_list("set-cookie")}


def validates(client: httpx.Client, token: str) -> bool:
    client.cookies.clear()
    return client.get("/v1/auth/validate", headers={"Cookie": f"access_token={token}"}).status_code == 200


def test_a_login_sets_both_cookies_and_a_logout_clears_them_with_the_same_attributes(
    app: App, browser: httpx.Client
) -> None:
    _, address = person(app)
    answer = browser.post("/v1/auth/login", json={"email": address, "password": PASSWORD})
    tokens = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert set_cookies(answer) == {
        "access_token": f"access_token={tokens['access_token']}; Max-Age=900; Path=/; HttpOnly; SameSite=Lax",
        "refresh_token": f"refresh_token={tokens['refresh_token']}; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax",
    }
    assert browser.get("/v1/auth/validate").json()["user"]["email"] == address
    gone = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"
    answer = browser.post("/v1/auth/logout")
    assert set_cookies(answer) == {name: f"{name}=; {gone}" for name in ("access_token", "refresh_token")}
    assert browser.get("/v1/auth/validate").status_code == 401
    assert refresh(browser, tokens["refresh_token"]).status_code == 401
    assert validates(browser, tokens["access_token"]), "an access token lives on until it is too old"


def test_the_access_token_says_what_clients_read_in_it(app: App, browser: httpx.Client) -> None:
    user_id, address = person(app)
    tokens = log_in(browser, address)
    claims = claims_of(tokens["access_token"])
    assert claims["exp"] - claims["iat"] == 900
    assert {name: claims[name] for name in ("email", "sub", "role", "type")} == {
        "email": address, "sub": user_id, "role": "USER", "type": "access",
    }  # fmt: skip
    claims = claims_of(tokens["refresh_token"])
    assert claims.keys() == {"sub", "jti", "type", "iat", "exp"}
    assert claims["exp"] - claims["iat"] == 604_800


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def test_validate_clears_the_access_cookie_alone(app: App, browser: httpx.Client) -> None:
    user_id, address = person(app)
    old = sign_access(AccessClaims(user_id, address, "USER", 0), SECRET, datetime(2026, 1, 2, tzinfo=UTC), 900)
    answer = browser.get("/v1/auth/validate", headers={"Cookie": f"access_token={old}; refresh_token=x"})
    assert (answer.status_code, answer.json()["message"]) == (401, "Access token expired")
    cleared = set_cookies(answer)
    assert cleared.keys() == {"access_token"}
    assert "1970" in cleared["access_token"]


def test_a_bad_cookie_does_not_spoil_a_good_bearer(app: App) -> None:
    with learner(app) as client:
        answer = client.post(
            "/v1/auth/change-password",
            json={"currentPassword": PASSWORD, "newPassword": PASSWORD},
            headers={"Cookie": "access_token=junk"},
        )
        assert answer.status_code == 201


def test_a_refresh_token_opens_nothing(app: App, browser: httpx.Client) -> None:
    _, address = person(app)
    tokens = log_in(browser, address)
    browser.cookies.clear()
    for headers in (
        {"Authorization": f"Bearer {tokens['refresh_token']}"},
        {"Cookie": f"access_token={tokens['refresh_token']}"},
    ):
        answer = browser.post("/v1/auth/change-password", json={}, headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized", "statusCode": 401})


def forged(user_id: str, secret: str, algorithm: str) -> str:
    import jwt

    claims = {
        "email": "x@example.org", "sub": user_id, "role": "ADMIN", "type": "access", "ver": 0,
        "iat": int(time.time()), "exp": int(time.time()) + 900,
    }  # fmt: skip
    return jwt.encode(claims, secret, algorithm)


def test_a_token_that_we_did_not_sign_opens_nothing(app: App, browser: httpx.Client) -> None:
    with administrator(app) as admin:
        for token in (
            forged(admin.id, "another secret that is long enough to sign with", "HS256"),
            forged(admin.id, "", "none"),
            forged(admin.id, SECRET * 2, "HS512"),
        ):
            answer = browser.post("/v1/auth/register/admin", json={}, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401


def test_only_a_token_that_we_signed_ends_a_session(app: App, browser: httpx.Client) -> None:
    user_id, address = person(app)
    token = log_in(browser, address)["refresh_token"]
    header, body, _ = token.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode() + f".{body}."
    for false in (unsigned, f"{header}.{body}.", f"{header}.{body}.{'A' * 43}", "junk", ""):
        answer = browser.post("/v1/auth/logout", headers={"Cookie": f"refresh_token={false}"})
        assert (answer.status_code, answer.json()) == (201, SUCCESS)
    unknown = sign_refresh(user_id, str(new_id()), SECRET, int(time.time()), int(time.time()) + 60)
    assert browser.post("/v1/auth/logout", headers={"Cookie": f"refresh_token={unknown}"}).status_code == 201
    assert refresh(browser, token).status_code == 201


@pytest.mark.parametrize("many", [4, 16])
def test_of_many_parallel_refreshes_one_rotates_and_all_get_its_successor(
    app: App, browser: httpx.Client, database: psycopg.Connection[Any], many: int
) -> None:
    user_id, address = person(app)
    token = log_in(browser, address)["refresh_token"]

    async def at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=app.url, timeout=60.0, headers={"User-Agent": "browser"}) as client:
            headers = {"Cookie": f"refresh_token={token}"}
            return await asyncio.gather(*(client.post("/v1/auth/refresh", headers=headers) for _ in range(many)))

    answers = asyncio.run(at_once())
    assert [answer.status_code for answer in answers] == [201] * many
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    rows = database.execute(
        "SELECT count(*), count(*) FILTER (WHERE revoked_at IS NULL) FROM refresh_tokens WHERE user_id = %s", (user_id,)
    ).fetchone()
    assert rows == (2, 1)
    assert refresh(browser, successors.pop()).status_code == 201


def test_a_token_used_late_or_by_another_ends_the_whole_family(
    app: App, browser: httpx.Client, database: psycopg.Connection[Any]
) -> None:
    user_id, address = person(app)
    other_login = log_in(browser, address)["refresh_token"]
    for late in (True, False):
        first = log_in(browser, address)["refresh_token"]
        second = refresh(browser, first).json()["refresh_token"]
        third = refresh(browser, second).json()["refresh_token"]
        assert refresh(browser, first).json()["refresh_token"] == third, "the newest of the family"
        if late:
            database.execute(
                "UPDATE refresh_tokens SET revoked_at = revoked_at - interval '11 s' WHERE user_id = %s", (user_id,)
            )
        answer = refresh(browser, first, "browser" if late else "thief")
        assert (answer.status_code, answer.json()["message"]) == (401, "Refresh token revoked or invalid")
        for token in (first, second, third):
            assert refresh(browser, token).status_code == 401
    assert refresh(browser, other_login).status_code == 201, "another login is another family"


def test_a_logout_among_refreshes_leaves_no_session_behind(
    app: App, browser: httpx.Client, database: psycopg.Connection[Any]
) -> None:
    user_id, address = person(app)

    async def at_once(token: str) -> None:
        async with httpx.AsyncClient(base_url=app.url, timeout=60.0, headers={"User-Agent": "browser"}) as client:
            headers = {"Cookie": f"refresh_token={token}"}
            paths = ["refresh", "refresh", "logout", "refresh", "refresh"]
            await asyncio.gather(*(client.post(f"/v1/auth/{path}", headers=headers) for path in paths))

    for _ in range(5):
        asyncio.run(at_once(log_in(browser, address)["refresh_token"]))
    alive = database.execute(
        "SELECT count(*) FROM refresh_tokens WHERE user_id = %s AND revoked_at IS NULL", (user_id,)
    ).fetchone()
    assert alive == (0,)


def test_refresh_tokens_are_stored_as_hashes(
    app: App, browser: httpx.Client, database: psycopg.Connection[Any]
) -> None:
    user_id, address = person(app)
    token = log_in(browser, address)["refresh_token"]
    row = database.execute("SELECT refresh_tokens::text FROM refresh_tokens WHERE user_id = %s", (user_id,)).fetchone()
    assert row is not None
    assert token.rsplit(".", maxsplit=1)[-1] not in row[0]
    assert claims_of(token)["jti"] in row[0]


def test_a_refresh_says_when_the_account_is_gone(
    app: App, browser: httpx.Client, database: psycopg.Connection[Any]
) -> None:
    user_id, address = person(app)
    tokens = log_in(browser, address)
    assert validates(browser, tokens["access_token"])
    database.execute("DELETE FROM users WHERE id = %s", (user_id,))
    assert not validates(browser, tokens["access_token"]), "a deletion ends access at once"
    answer = refresh(browser, tokens["refresh_token"])
    assert (answer.status_code, answer.json()["message"]) == (401, "User not found")


def test_a_demotion_ends_access_at_once(app: App, database: psycopg.Connection[Any]) -> None:
    with administrator(app) as admin:
        assert admin.post("/v1/auth/register/admin", json={}).status_code == 400
        database.execute("UPDATE users SET role = 'USER' WHERE id = %s", (admin.id,))
        assert admin.post("/v1/auth/register/admin", json={}).status_code == 401


def test_a_new_password_ends_all_sessions_but_the_one_that_asks(app: App, mailbox: Mailbox) -> None:
    _, address = person(app)
    with app.client() as mine, app.client() as other:
        elsewhere = log_in(other, address)
        before = log_in(mine, address)
        answer = mine.post(
            "/v1/auth/change-password", json={"currentPassword": PASSWORD, "newPassword": "another password"}
        )
        assert (answer.status_code, answer.json()) == (201, SUCCESS)
        assert set_cookies(answer).keys() == {"access_token"}
        assert mine.get("/v1/auth/validate").status_code == 200, "who changes it goes on"
        assert mine.post("/v1/auth/refresh").status_code == 201
        assert not validates(other, elsewhere["access_token"])
        assert not validates(other, before["access_token"])
        assert refresh(other, elsewhere["refresh_token"]).status_code == 401
        assert other.post("/v1/auth/login", json={"email": address, "password": PASSWORD}).status_code == 401
        log_in(other, address, "another password")
    assert "password was changed" in mailbox.wait_for(address).message["Subject"]


def test_a_forgotten_password_is_set_by_a_link_once_and_every_session_ends(app: App, mailbox: Mailbox) -> None:
    """The account was never verified: the link proves the address, too."""
    _, address = person(app, verified=False)
    with app.client() as client:
        assert client.post("/v1/auth/forgot-password", json={"email": address.upper()}).status_code == 201
        mail = mailbox.wait_for(address)
        assert f"https://learn.example.org/reset-password?token={mail.token}" in mail.text
        body = {"token": mail.token, "newPassword": "a new secret"}

        async def at_once() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=app.url, timeout=60.0) as many:
                return await asyncio.gather(*(many.post("/v1/auth/reset-password", json=body) for _ in range(5)))

        answers = asyncio.run(at_once())
        assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401, 401]
        session = log_in(client, address, "a new secret")
        assert refresh(client, session["refresh_token"]).status_code == 201


def test_two_links_of_one_account_used_at_once_are_no_error(
    app: App, mailbox: Mailbox, database: psycopg.Connection[Any]
) -> None:
    """Both are held up until each has come to the account's row, which the test has locked."""
    user_id, address = person(app, verified=False)
    with app.client() as client:
        for count in (1, 2):
            assert client.post("/v1/auth/forgot-password", json={"email": address}).status_code == 201
            mailbox.wait_for(address, count)
            database.execute(
                "UPDATE mail_requests SET requested_at = requested_at - interval '2 min' WHERE address_hash = %s",
                (hash_address(address),),
            )

    async def at_once() -> list[int]:
        async with httpx.AsyncClient(base_url=app.url, timeout=60.0) as many:
            bodies = [{"token": mail.token, "newPassword": "a new secret"} for mail in mailbox.to(address)]
            with psycopg.connect(app.settings["DATABASE_URL"]) as lock:
                lock.execute("SELECT FROM users WHERE id = %s FOR UPDATE", (user_id,))
                asked = [asyncio.create_task(many.post("/v1/auth/reset-password", json=body)) for body in bodies]
                while database.execute(waiting, (lock.info.backend_pid,)).fetchone() != (2,):  # noqa: ASYNC110 -- of PostgreSQL
                    await asyncio.sleep(0.02)
            return sorted([(await task).status_code for task in asked])

    # The second waits for the first, or for what the first waits for.
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND query LIKE '%%users%%' AND pid <> %s"
    )
    assert asyncio.run(at_once()) == [201, 401], "the first one used ends the other"


def test_a_link_that_is_too_old_is_refused(app: App, mailbox: Mailbox, database: psycopg.Connection[Any]) -> None:
    address = new_address()
    with app.client() as client:
        assert client.post("/v1/auth/register", json={"email": address, "password": PASSWORD}).status_code == 201
        token = mailbox.wait_for(address).token
        database.execute(
            "UPDATE email_tokens SET expires_at = now() WHERE user_id = (SELECT id FROM users WHERE email = %s)",
            (address,),
        )
        answer = client.post("/v1/auth/verify-email", json={"token": token})
        assert (answer.status_code, answer.json()["message"]) == (401, "Invalid or expired token")
        assert client.post("/v1/auth/resend-verification", json={"email": address}).status_code == 201
        token = mailbox.wait_for(address, 2).token
        assert client.post("/v1/auth/verify-email", json={"token": token}).status_code == 201
        log_in(client, address)


def test_a_mail_has_text_and_html_and_its_text_is_erased_once_sent(
    app: App, mailbox: Mailbox, database: psycopg.Connection[Any]
) -> None:
    address = new_address()
    with app.client() as client:
        assert client.post("/v1/auth/register", json={"email": address, "password": PASSWORD}).status_code == 201
    mail = mailbox.wait_for(address)
    assert f"https://learn.example.org/verify-email?token={mail.token}" in mail.text
    assert f'href="https://learn.example.org/verify-email?token={mail.token}"' in mail.html
    assert mail.message["To"] == address
    assert mail.message["Date"]
    assert mail.message["Message-ID"]

    def sent() -> bool:
        row = database.execute(
            "SELECT sent_at IS NOT NULL AND body_text IS NULL AND body_html IS NULL FROM outbox WHERE recipient = %s",
            (address,),
        ).fetchone()
        return row == (True,)

    deadline = time.monotonic() + 20
    while not sent():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_many_parallel_registrations_one_makes_the_account(app: App, mailbox: Mailbox) -> None:
    address = new_address()

    async def at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=app.url, timeout=60.0) as client:
            bodies = [{"email": spelling, "password": PASSWORD} for spelling in (address, address.upper()) * 3]
            return await asyncio.gather(*(client.post("/v1/auth/register", json=body) for body in bodies))

    answers = asyncio.run(at_once())
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


def test_every_byte_of_a_long_password_counts(app: App, browser: httpx.Client) -> None:
    long = "あ" * 40  # 120 bytes
    _, address = person(app, password=long)
    answer = browser.post("/v1/auth/login", json={"email": address, "password": long[:-1] + "い"})
    assert answer.status_code == 401
    log_in(browser, address, long)


def test_a_bcrypt_hash_of_an_older_backend_is_verified_and_made_anew(
    app: App, browser: httpx.Client, database: psycopg.Connection[Any]
) -> None:
    user_id, address = person(app)
    long = "x" * 72 + "the rest that bcrypt never saw"
    for password in ("secret-of-old", long):
        old = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
        database.execute("UPDATE users SET password_hash = %s WHERE id = %s", (old, user_id))
        answer = browser.post("/v1/auth/login", json={"email": address, "password": "wrong" + password})
        assert answer.status_code == 401
        session = log_in(browser, address, password)
        row = database.execute("SELECT password_hash, token_version FROM users WHERE id = %s", (user_id,)).fetchone()
        assert row is not None
        assert row[0].startswith("$argon2id$")
        assert row[1] == 0
        assert validates(browser, session["access_token"])
        log_in(browser, address, password)
    answer = browser.post("/v1/auth/login", json={"email": address, "password": long[:-1]})
    assert answer.status_code == 401, "from the first login on, the whole password counts"


@pytest.mark.parametrize("stored", [None, "", "plain text", "$2b$10$short", "$argon2id$v=19$broken"])
def test_an_account_without_a_usable_hash_lets_nobody_in(
    app: App, browser: httpx.Client, database: psycopg.Connection[Any], stored: str | None
) -> None:
    user_id, address = person(app)
    database.execute("UPDATE users SET password_hash = %s WHERE id = %s", (stored, user_id))
    for password in ("plain text", PASSWORD, stored or "x"):
        answer = browser.post("/v1/auth/login", json={"email": address, "password": password})
        assert (answer.status_code, answer.json()["message"]) == (401, "Invalid credentials")


def medians(client: httpx.Client, path: str, bodies: list[list[dict[str, str]]]) -> list[float]:
    """The median seconds per kind of body; kinds take turns, so that the machine's moods meet both."""
    times: list[list[float]] = [[] for _ in bodies]
    for turn in zip(*bodies, strict=True):
        for kind, body in enumerate(turn):
            started = time.perf_counter()
            client.post(path, json=body)
            times[kind].append(time.perf_counter() - started)
    return [statistics.median(seconds) for seconds in times]


def test_an_unknown_address_takes_as_long_as_a_wrong_password(app: App, browser: httpx.Client) -> None:
    _, address = person(app)
    wrong = [{"email": address, "password": "wrong"}] * 5
    unknown = [{"email": new_address(), "password": "wrong"} for _ in wrong]
    known_seconds, unknown_seconds = medians(browser, "/v1/auth/login", [wrong, unknown])
    assert 1 / 3 < unknown_seconds / known_seconds < 3.0, (known_seconds, unknown_seconds)


@pytest.mark.parametrize("path", ["forgot-password", "resend-verification"])
def test_asking_for_a_mail_takes_as_long_whether_or_not_there_is_an_account(
    app: App, browser: httpx.Client, path: str
) -> None:
    known = [{"email": person(app, verified=False)[1]} for _ in range(15)]
    unknown = [{"email": new_address()} for _ in known]
    known_seconds, unknown_seconds = medians(browser, f"/v1/auth/{path}", [known, unknown])
    assert 1 / 3 < unknown_seconds / known_seconds < 3.0, (known_seconds, unknown_seconds)


@pytest.mark.parametrize(
    ("path", "purpose", "name"),
    [("resend-verification", "verify_email", "verification"), ("forgot-password", "reset_password", "password reset")],
)
def test_mails_are_limited_alike_for_every_address(
    app: App, browser: httpx.Client, database: psycopg.Connection[Any], path: str, purpose: str, name: str
) -> None:
    for address in (person(app, verified=False)[1], new_address()):
        database.execute(
            "INSERT INTO mail_requests (address_hash, purpose, requested_at) VALUES (%s, %s, now() - interval '18 s')",
            (hash_address(address), purpose),
        )
        answer = browser.post(f"/v1/auth/{path}", json={"email": address.upper()})
        wait = int(answer.headers["retry-after"])
        assert 30 <= wait <= 42
        message = f"Please wait {wait}s before requesting another {name} email."
        assert (answer.status_code, answer.json()) == (429, {"message": message, "statusCode": 429})
        database.execute(
            "INSERT INTO mail_requests (address_hash, purpose, requested_at)"
            " SELECT %s, %s, now() - interval '1 hour' * n FROM generate_series(1, 10) n",
            (hash_address(address), purpose),
        )
        database.execute(
            "DELETE FROM mail_requests WHERE address_hash = %s AND requested_at > now() - interval '10 min'",
            (hash_address(address),),
        )
        answer = browser.post(f"/v1/auth/{path}", json={"email": address})
        message = f"Daily limit for {name} emails reached. Try again later."
        assert (answer.status_code, answer.json()) == (429, {"message": message, "statusCode": 429})
        database.execute(
            "UPDATE mail_requests SET requested_at = requested_at - interval '23 hours' WHERE address_hash = %s",
            (hash_address(address),),
        )
        assert browser.post(f"/v1/auth/{path}", json={"email": address}).status_code == 201, "the day is over"


def test_of_many_parallel_requests_for_a_mail_one_is_granted(app: App, mailbox: Mailbox) -> None:
    _, address = person(app)

    async def at_once() -> list[int]:
        async with httpx.AsyncClient(base_url=app.url, timeout=60.0) as client:
            body = {"email": address}
            answers = await asyncio.gather(*(client.post("/v1/auth/forgot-password", json=body) for _ in range(6)))
            return sorted(answer.status_code for answer in answers)

    assert asyncio.run(at_once()) == [201] + [429] * 5


def test_the_log_knows_neither_passwords_nor_addresses_nor_tokens(
    app: App, browser: httpx.Client, mailbox: Mailbox
) -> None:
    address, secret = new_address(), f"secret-{new_id().hex}"
    assert browser.post("/v1/auth/register", json={"email": address, "password": secret}).status_code == 201
    token = mailbox.wait_for(address).token
    browser.post("/v1/auth/login", json={"email": address, "password": secret})
    browser.post("/v1/auth/verify-email", json={"token": token})
    session = log_in(browser, address, secret)
    browser.post("/v1/auth/refresh")
    browser.post("/v1/auth/forgot-password", json={"email": address})
    browser.post("/v1/auth/logout")
    assert "registered" in app.output
    told = (address, secret, token, session["access_token"], session["refresh_token"], "@example.org")
    assert [word for word in told if word in app.output] == []


def test_every_account_route_is_described(api: httpx.Client) -> None:
    document = api.get("/v1/docs/openapi.json").json()
    paths = {path: operations for path, operations in document["paths"].items() if path.startswith("/v1/auth/")}
    assert len(paths) == 13
    register = paths["/v1/auth/register"]["post"]
    assert register["requestBody"]["content"]["application/json"]["schema"]["required"] == ["email", "password"]
    assert {"201", "400", "409", "429"} <= register["responses"].keys()
    assert "security" in paths["/v1/auth/change-password"]["post"]
    assert "security" not in register
