"""What operators do for accounts: the first administrator, running without mail, without SMTP, with a worker of its own."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest

from kotobamichi.accounts import administrators
from kotobamichi.errors import StartRefused
from michi.settings import parse_url
from tests.conftest import url_of_database
from tests.support.accounts import PASSWORD, SECRET, account
from tests.support.app import App, deploy_app_schema, kotobamichi, started
from tests.support.mailbox import Mailbox

WAIT_SECONDS = 30.0


@pytest.fixture(scope="module")
def url(server_url: str) -> Iterator[str]:
    """A database with the schema, and nobody in it."""
    name = f"operators_{uuid.uuid4().hex[:12]}"
    url = url_of_database(server_url, name)
    deploy_app_schema(url)
    yield url
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


@pytest.fixture(scope="module")
def production(url: str) -> Iterator[App]:
    """As on a server, without mail."""
    settings = {"APP_ENV": "production", "MAIL": "off", "JWT_SECRET": SECRET, "RATE_LIMIT": "off"}
    with started("serve", DATABASE_URL=url, **settings) as running:
        yield running.wait_until_ready()


@pytest.fixture
def client(production: App) -> Iterator[httpx.Client]:
    with production.client() as opened:
        yield opened


def log_in(client: httpx.Client, email: str, password: str) -> httpx.Response:
    client.cookies.clear()
    return client.post("/v1/auth/login", json={"email": email, "password": password})


def admin(url: str, *arguments: str) -> str:
    ended = kotobamichi("admin", *arguments, DATABASE_URL=url)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def password_in(output: str) -> str:
    found = re.search(r"Password:\s+(\S+)", output)
    assert found is not None, output
    return found[1]


def test_the_first_administrator_can_log_in(url: str, client: httpx.Client) -> None:
    made = kotobamichi("admin", "create", DATABASE_URL=url, ADMIN_EMAIL="Head@Example.org")
    assert made.returncode == 0, made.stderr
    answer = log_in(client, "head@example.org", password_in(made.stdout))
    assert answer.status_code == 201
    assert answer.json()["user"]["role"] == "ADMIN"
    token = answer.json()["access_token"]
    answer = client.post("/v1/auth/register/admin", json={}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 400, "an administrator's route is open to it"


def test_a_made_up_password_is_never_the_same(url: str) -> None:
    account(url, "made-up@example.org")
    passwords = {administrators.reset_password(parse_url(url, "test"), "made-up@example.org") for _ in range(3)}
    assert len(passwords) == 3
    assert all(len(password) >= 20 for password in passwords)


def test_in_production_cookies_are_secure_and_for_other_sites(url: str, client: httpx.Client) -> None:
    account(url, "cookies@example.org")
    for answer in (log_in(client, "cookies@example.org", PASSWORD), client.post("/v1/auth/logout")):
        headers = answer.headers.get_list("set-cookie")
        assert [header.partition("=")[0] for header in headers] == ["access_token", "refresh_token"]
        assert all(header.endswith("Path=/; HttpOnly; Secure; SameSite=None") for header in headers)


def test_without_mail_an_administrator_vouches_for_an_address(url: str, client: httpx.Client) -> None:
    answer = client.post("/v1/auth/register", json={"email": "Waits@example.org", "password": PASSWORD})
    assert answer.status_code == 201
    assert "administrator has to activate" in answer.json()["message"]
    assert log_in(client, "waits@example.org", PASSWORD).json()["message"] == "Email not verified"
    for path in ("resend-verification", "forgot-password"):
        answer = client.post(f"/v1/auth/{path}", json={"email": "waits@example.org"})
        assert (answer.status_code, answer.json()) == (201, {"success": True})
    assert "can log in" in admin(url, "verify", "WAITS@example.org")
    assert log_in(client, "waits@example.org", PASSWORD).status_code == 201
    assert not administrators.verify_account(parse_url(url, "test"), "waits@example.org")
    with psycopg.connect(url) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM email_tokens)"
        ).fetchone()
    assert counts == (0, 0), "nothing is written that nobody sends"


def test_roles_and_passwords_that_operators_change_count_at_once(url: str, client: httpx.Client) -> None:
    account(url, "mika@example.org")

    def session() -> dict[str, str]:
        answer = log_in(client, "mika@example.org", password)
        assert answer.status_code == 201
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def may_administer(headers: dict[str, str]) -> int:
        client.cookies.clear()
        return client.post("/v1/auth/register/admin", json={}, headers=headers).status_code

    password = PASSWORD
    learner = session()
    assert may_administer(learner) == 403
    assert "ADMIN now" in admin(url, "promote", "mika@example.org")
    assert may_administer(learner) == 401
    head = session()
    assert may_administer(head) == 400
    account(url, "second-head@example.org", "ADMIN")
    assert "USER now" in admin(url, "demote", "Mika@example.org")
    assert may_administer(head) == 401
    administrators.set_role(parse_url(url, "test"), "mika@example.org", "ADMIN")
    assert may_administer(head) == 401, "a token that ended does not come back"
    head = session()
    password = password_in(admin(url, "reset-password", "mika@example.org"))
    assert may_administer(head) == 401
    assert log_in(client, "mika@example.org", PASSWORD).status_code == 401
    assert may_administer(session()) == 400


def test_the_last_administrator_stays_and_nobody_is_made_up(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE users SET role = 'USER'")
    account(url, "last@example.org", "ADMIN")
    ended = kotobamichi("admin", "demote", "last@example.org", DATABASE_URL=url)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "This is the only administrator." in ended.stderr
    target, nobody = parse_url(url, "test"), "nobody@example.org"
    for try_it in (
        lambda: administrators.verify_account(target, nobody),
        lambda: administrators.set_role(target, nobody, "ADMIN"),
        lambda: administrators.reset_password(target, nobody),
    ):
        with pytest.raises(StartRefused, match="There is no account with this address"):
            try_it()
    ended = kotobamichi("admin", "create", DATABASE_URL=url, ADMIN_EMAIL="no address")
    assert ended.returncode == 2
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT email FROM users WHERE role = 'ADMIN'").fetchall() == [("last@example.org",)]


def test_in_development_without_smtp_the_link_is_in_the_log(url: str) -> None:
    settings = {"JWT_SECRET": SECRET, "APP_URL": "http://localhost:3001"}
    with started("serve", DATABASE_URL=url, **settings) as app, app.wait_until_ready().client() as client:
        body = {"email": "developer@example.org", "password": PASSWORD}
        assert client.post("/v1/auth/register", json=body).status_code == 201
        link = re.compile(r"http://localhost:3001/verify-email\?token=([\w-]+)")
        until(lambda: link.search(app.output) is not None)
        found = link.search(app.output)
        assert found is not None
        assert client.post("/v1/auth/verify-email", json={"token": found[1]}).status_code == 201
        assert log_in(client, "developer@example.org", PASSWORD).status_code == 201
        assert "developer@example.org" not in app.output
        assert app.stop() == 0


def test_a_worker_of_its_own_sends_what_the_app_leaves_to_it(url: str, mailbox: Mailbox) -> None:
    smtp = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mailbox.port)}
    settings = {"DATABASE_URL": url, "JWT_SECRET": SECRET, "MAIL_WORKER": "off", **smtp}
    address = "left-to-the-worker@example.org"
    with started("serve", **settings) as app, app.wait_until_ready().client() as client:
        assert client.post("/v1/auth/register", json={"email": address, "password": PASSWORD}).status_code == 201
        assert app.stop() == 0
    with psycopg.connect(url) as connection:
        waiting = connection.execute("SELECT attempts, sent_at FROM outbox WHERE recipient = %s", (address,)).fetchall()
    assert waiting == [(0, None)]
    with started("worker", DATABASE_URL=url, **smtp) as first, started("worker", DATABASE_URL=url, **smtp) as second:
        mailbox.wait_for(address)
        assert (first.stop(), second.stop()) == (0, 0)
        assert first.output.rstrip().endswith("Stopped.")
        assert "Traceback" not in first.output + second.output
    assert len(mailbox.to(address)) == 1


def test_a_worker_waits_for_the_schema_and_gives_up_in_one_sentence(database_url: str) -> None:
    ended = kotobamichi("worker", DATABASE_URL=database_url, SCHEMA_WAIT="1s")
    assert ended.returncode == 3, ended.stderr + ended.stdout
    assert "michi deploy" in ended.stderr
    assert "Traceback" not in ended.stderr
