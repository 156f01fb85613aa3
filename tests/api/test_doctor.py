"""`kotobamichi doctor`: a line for each thing that the app needs, its cure, and the exit code of the first that is wrong."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.support.app import deploy_app_schema, kotobamichi
from tests.support.servers import free_port, password_server, pgbouncer

PASSWORD = "correct horse battery staple"


def examine(**settings: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = kotobamichi("doctor", "--json", **settings)
    assert PASSWORD not in done.stdout + done.stderr
    return done.returncode, {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a mail server, with its key; nobody but itself vouches for it."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subject = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", str(file)]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    return file


@pytest.fixture
def mail_server(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings of a server that wants a login; it speaks TLS, or with the parameter "clear" it does not."""
    tls = None
    if getattr(request, "param", "") != "clear":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(request.getfixturevalue("certificate"))

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert tls is not None, "a password without TLS"
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    port = free_port()
    controller = Controller(
        object(), hostname="127.0.0.1", port=port, authenticator=authenticate, auth_require_tls=False, tls_context=tls
    )
    controller.start()
    yield {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_USER": "words", "SMTP_PASS": PASSWORD}
    controller.stop()


def test_all_is_well(database_url: str) -> None:
    deploy_app_schema(database_url)
    code, found = examine(DATABASE_URL=database_url)
    assert code == 0
    assert list(found) == ["settings", "database", "schema", "clock", "Redis", "mail"]
    assert {finding["level"] for finding in found.values()} == {"ok"}


def test_what_is_wrong_is_named_with_its_cure_in_one_line_each(database_url: str) -> None:
    port = free_port()
    done = kotobamichi(
        "doctor", DATABASE_URL=database_url, REDIS_URL=f"redis://127.0.0.1:{port}/0", SMTP_HOST="127.0.0.1",
        SMTP_PORT=str(port),
    )  # fmt: skip
    assert done.returncode == 3  # the schema comes first
    lines = done.stdout.splitlines()
    assert [line[:10].split()[1] for line in lines[::1] if line[0] == "✗"] == ["schema", "Redis", "mail"]
    assert f"127.0.0.1:{port} does not answer" in done.stdout
    assert f"127.0.0.1:{port} cannot be used (Connection refused)" in done.stdout
    assert "MAIL=off" in done.stdout


def test_production_names_the_setting_that_is_missing() -> None:
    given = {"APP_ENV": "production", "DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    for name, value in (
        ("JWT_SECRET", "0123456789" * 5),
        ("SMTP_HOST", "127.0.0.1"),
        ("APP_URL", "https://example.org"),
    ):
        code, found = examine(**given)
        assert code == 2
        assert list(found) == ["settings"]
        assert found["settings"]["message"].startswith(f"{name} is not set")
        given[name] = value
    assert examine(**given)[1]["settings"]["level"] == "ok"


def test_a_database_that_is_away(database_url: str) -> None:
    away = f"postgresql://someone@127.0.0.1:{free_port()}/nowhere"
    code, found = examine(DATABASE_URL=away)
    assert code == 6
    assert list(found) == ["settings", "database", "Redis", "mail"]
    assert "127.0.0.1" in found["database"]["message"]


def test_the_mail_login_is_tried_and_nothing_is_sent(
    database_url: str, mail_server: dict[str, str], certificate: Path
) -> None:
    deploy_app_schema(database_url)
    settings = mail_server | {"DATABASE_URL": database_url, "SSL_CERT_FILE": str(certificate)}
    where = f"127.0.0.1:{mail_server['SMTP_PORT']}"
    code, found = examine(**settings | {"SMTP_PASS": "wrong"})
    assert (code, found["mail"]["message"]) == (2, f"{where} refused the login")
    code, found = examine(**settings)
    assert (code, found["mail"]["message"]) == (0, f"{where}, TLS")


def test_a_mail_server_that_nobody_vouches_for(database_url: str, mail_server: dict[str, str]) -> None:
    deploy_app_schema(database_url)
    code, found = examine(DATABASE_URL=database_url, **mail_server)
    assert code == 2
    assert "has a certificate that is not trusted (self-signed certificate)" in found["mail"]["message"]
    assert "SSL_CERT_FILE" in found["mail"]["remedy"]


@pytest.mark.parametrize("mail_server", ["clear"], indirect=True)
def test_a_mail_server_without_tls_is_not_told_the_password(database_url: str, mail_server: dict[str, str]) -> None:
    deploy_app_schema(database_url)
    code, found = examine(DATABASE_URL=database_url, **mail_server)
    assert (code, found["mail"]["level"]) == (2, "failure")
    assert "speaks no TLS" in found["mail"]["message"]
    code, found = examine(DATABASE_URL=database_url, **mail_server | {"SMTP_USER": ""})
    assert (code, found["mail"]["message"]) == (0, f"127.0.0.1:{mail_server['SMTP_PORT']}, no TLS")


@pytest.mark.parametrize(("mode", "code", "level"), [("transaction", 8, "failure"), ("session", 3, "ok")])
def test_a_pooler_must_keep_a_session_together(mode: str, code: int, level: str) -> None:
    """The app's sessions have settings and prepared statements. In session mode it gets as far as the schema, which is absent."""
    with password_server() as server:
        server.start()
        with pgbouncer(server.address, mode) as pooler:
            ended, found = examine(DATABASE_URL=pooler.url("postgres"))
    assert (ended, found["database"]["level"]) == (code, level)
    if level == "failure":
        assert "PostgreSQL itself, or of a pooler in session mode" in found["database"]["remedy"]
