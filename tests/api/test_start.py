"""`kotobamichi up` and `serve` as an operator meets them: what starts, what is refused in one sentence, what stops cleanly."""

from __future__ import annotations

import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.app import deploy_app_schema, environment, kotobamichi, started
from tests.support.servers import folder_for_server, free_port

LONG_SECRET = "x" * 40


def assert_one_sentence(ended: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    text = ended.stderr + ended.stdout
    assert ended.returncode == code, text
    assert "Traceback" not in text
    for part in parts:
        assert part in text


def test_up_starts_everything_from_an_empty_folder_and_again_with_the_same_data() -> None:
    with folder_for_server() as folder:
        with started("up", KOTOBAMICHI_DATA=str(folder / "data")) as app, app.wait_until_ready().client() as client:
            assert client.get("/v1/words").json()["pagination"]["total"] == 8334
            first = client.get("/v1/words").json()
            password = re.search(r"Password:\s+(\S+)", app.output)
            assert password is not None
            assert f"http://localhost:{app.port}/v1" in app.output
            assert app.stop(signal.SIGINT) == 0
            assert app.output.rstrip().endswith("Stopped.")
        with started("up", KOTOBAMICHI_DATA=str(folder / "data")) as app, app.wait_until_ready().client() as client:
            assert client.get("/v1/words").json() == first
            assert "Password" not in app.output, "a password is shown once"
            second = kotobamichi("up", KOTOBAMICHI_DATA=str(folder / "data"), PORT=str(free_port()))
            assert_one_sentence(second, 2, "already running")
            assert client.get("/v1/words").json() == first


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = kotobamichi("up", PORT=port, HOST="127.0.0.1", KOTOBAMICHI_DATA=str(tmp_path / "data"))
        assert_one_sentence(ended, 2, f"Port {port}", "set PORT")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({}, "JWT_SECRET is not set"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET is shorter than 32"),
        ({"JWT_SECRET": LONG_SECRET, "PORT": "http"}, "PORT is not a whole number"),
        ({"JWT_SECRET": LONG_SECRET, "PORT": "70000"}, "PORT is not a whole number"),
        ({"JWT_SECRET": LONG_SECRET, "WORKERS": "0"}, "WORKERS is not a whole number"),
        ({"JWT_SECRET": LONG_SECRET, "VOCABULARY": "latin"}, "VOCABULARY"),
        ({"JWT_SECRET": LONG_SECRET, "CORS_ORIGIN": "example.org"}, "CORS_ORIGIN"),
        ({"JWT_SECRET": LONG_SECRET, "SCHEMA_WAIT": "10"}, "SCHEMA_WAIT is not a duration"),
        ({"JWT_SECRET": LONG_SECRET, "JWT_SECRET_FILE": "/tmp/x"}, "JWT_SECRET and JWT_SECRET_FILE are both set"),
        ({"JWT_SECRET_FILE": "/nowhere/secret"}, "JWT_SECRET_FILE"),
    ],
)
def test_a_wrong_setting_names_itself(settings: dict[str, str], part: str) -> None:
    ended = kotobamichi(
        "serve", APP_ENV="production", DATABASE_URL="postgresql://a:b@127.0.0.1:1/x", MAIL="off", **settings
    )
    assert_one_sentence(ended, 2, part)
    assert LONG_SECRET not in ended.stderr


def test_production_never_falls_back_to_the_embedded_database() -> None:
    settings = {"APP_ENV": "production", "MAIL": "off", "JWT_SECRET": LONG_SECRET, "PORT": str(free_port())}
    assert_one_sentence(kotobamichi("up", **settings), 2, "DATABASE_URL")


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://root:s3cretpw@localhost/x", "postgresql://u:s3cretpw@host:port/x"]
)
def test_a_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    ended = kotobamichi("serve", DATABASE_URL=url)
    assert_one_sentence(ended, 2, "DATABASE_URL")
    assert "s3cretpw" not in ended.stderr


def test_up_with_an_unreachable_database_says_which_and_leaves_with_6() -> None:
    command = [sys.executable, "-m", "kotobamichi.cli", "words", "load"]
    url = f"postgresql://someone:s3cretpw@127.0.0.1:{free_port()}/x"
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=30, env=environment(DATABASE_URL=url), check=False
    )
    assert_one_sentence(ended, 6, "someone@127.0.0.1", "cannot be reached")
    assert "s3cretpw" not in ended.stderr


def test_words_load_before_the_first_migration_says_what_to_do(database_url: str) -> None:
    assert_one_sentence(kotobamichi("words", "load", DATABASE_URL=database_url), 3, "michi deploy")


def test_a_disk_that_is_full_is_told_in_one_sentence_and_the_next_start_works() -> None:
    """The kernel refuses files over 4 MiB to this process and its children, as a full disk would in the middle of initdb."""
    with folder_for_server() as folder:
        command = [sys.executable, "-m", "kotobamichi.cli", "up"]
        settings = environment(KOTOBAMICHI_DATA=str(folder / "data"), PORT=str(free_port()), HOST="127.0.0.1")
        limit = 4 * 2**20
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=settings, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )  # fmt: skip
        assert_one_sentence(ended, 2, "PostgreSQL could not create its data")
        assert not (folder / "data" / "postgres").exists()
        with started("up", KOTOBAMICHI_DATA=str(folder / "data")) as app:
            app.wait_until_ready()


def test_the_administrator_is_stored_with_a_hashed_password(server_url: str, database_url: str) -> None:
    deploy_app_schema(database_url)
    made = kotobamichi("admin", "create", DATABASE_URL=database_url, ADMIN_EMAIL="Head@Example.org")
    password = re.search(r"Password:\s+(\S+)", made.stdout)
    assert password is not None
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT email, role, password_hash, email_verified_at IS NOT NULL FROM users"
        ).fetchone()
    assert row is not None
    assert row[:2] == ("Head@Example.org", "ADMIN")
    assert row[2].startswith("$argon2id$")
    assert password[1] not in row[2]
    assert row[3]
    again = kotobamichi("admin", "create", DATABASE_URL=database_url)
    assert (again.returncode, "already" in again.stdout) == (0, True)


def test_a_request_in_flight_is_answered_when_the_app_is_stopped(vocabulary_url: str) -> None:
    with started("serve", DATABASE_URL=vocabulary_url) as app:
        app.wait_until_ready()
        with app.client() as client:
            client.get("/v1/words", params={"search": "a", "limit": 1000})
        assert app.stop() == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(app.url + "/v1/health")
