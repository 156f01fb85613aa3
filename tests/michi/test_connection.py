"""Contract of michi, table "Connection, lock", the rows C: databases that are absent, late, or refuse the login."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support.operator import Operator, finish, wait_until
from tests.support.refusing_server import refusing_server
from tests.support.servers import Address, PasswordServer, free_port, password_server

ONE = "20260101000000_one"


@pytest.fixture
def absent(operator: Operator, server_url: str) -> Iterator[Operator]:
    """An operator whose database does not exist; it is dropped should a test have made it."""
    name = operator.url.split("?")[0].rsplit("/", 1)[1]
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    operator.write(ONE, "CREATE TABLE one (id int);")
    operator.sum()
    return operator  # type: ignore[return-value]


def database_name(operator: Operator) -> str:
    return operator.url.split("?")[0].rsplit("/", 1)[1]


def has_database(server_url: str, name: str) -> bool:
    with psycopg.connect(server_url, autocommit=True) as connection:
        return connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def test_c01_deploy_creates_an_absent_database_and_says_so(absent: Operator) -> None:
    answer = absent.deploy()
    assert answer.exit_code == 0, answer.stderr
    assert answer.named("database_created")[0]["database"] == database_name(absent)
    assert absent.ledger() == [(ONE, "applied")]


def test_c01_deploys_at_once_create_an_absent_database_once(absent: Operator) -> None:
    answers = [finish(process) for process in [absent.start("deploy") for _ in range(5)]]
    assert [answer.exit_code for answer in answers] == [0] * 5, [answer.stderr for answer in answers]
    assert absent.ledger() == [(ONE, "applied")]


@pytest.mark.parametrize("verb", ["status", "check"])
def test_c01_a_verb_that_only_looks_creates_nothing(absent: Operator, server_url: str, verb: str) -> None:
    answer = absent.run(verb)
    assert (answer.exit_code, answer.error["code"]) == (6, "database.absent")
    assert not has_database(server_url, database_name(absent))


def test_c01_a_role_that_may_not_create_databases_is_told_the_statement(
    running_password_server: PasswordServer, tmp_path: Path
) -> None:
    address = running_password_server.address
    with psycopg.connect(address.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN PASSWORD 'only-for-plain'")
    plain = Address(address.port, user="plain", password="only-for-plain")
    operator = Operator(plain.url("not_there"), tmp_path)
    answer = operator.deploy()
    assert (answer.exit_code, answer.error["code"]) == (6, "database.absent")
    assert 'CREATE DATABASE "not_there" OWNER "plain"' in answer.error["remedy"]


def test_c05_deploy_waits_for_a_server_that_starts_late(tmp_path: Path) -> None:
    with password_server() as server:
        operator = Operator(server.address.url("words"), tmp_path / "migrations")
        operator.write(ONE, "CREATE TABLE one (id int);")
        operator.sum()
        process = operator.start("deploy", "--wait", "30s")
        time.sleep(2)
        assert process.poll() is None
        server.start()
        answer = finish(process)
        assert answer.exit_code == 0, answer.stderr
        assert answer.named("waiting_for_database")
        assert operator.ledger() == [(ONE, "applied")]


def test_c05_a_server_that_never_comes_ends_after_the_wait_with_its_address(operator: Operator) -> None:
    port = free_port()
    operator.url = f"postgresql://someone:hidden-word@127.0.0.1:{port}/words"
    began = time.monotonic()
    answer = operator.deploy("--wait", "1s")
    assert 1 <= time.monotonic() - began < 4
    assert (answer.exit_code, answer.error["code"]) == (6, "database.unreachable")
    assert f"127.0.0.1:{port}/words" in answer.error["message"]
    assert "hidden-word" not in answer.stdout + answer.stderr


def test_c05_a_name_that_does_not_resolve_is_waited_for_too(operator: Operator) -> None:
    operator.url = "postgresql://someone@database.invalid/words"
    answer = operator.deploy("--wait", "1s")
    assert (answer.exit_code, answer.error["code"]) == (6, "database.unreachable")
    assert len(answer.named("waiting_for_database")) >= 1


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("57P03", "データベースシステムは起動処理中です"),
        ("53300", "現在クライアント数が多すぎます"),
        ("55000", "接続は受け付けていません"),
    ],
)
def test_c05_a_server_that_speaks_another_language_is_waited_for(
    operator: Operator, sqlstate: str, message: str
) -> None:
    with refusing_server(sqlstate, message) as server:
        operator.url = f"postgresql://someone:hidden-word@127.0.0.1:{server.port}/words"
        answer = operator.deploy("--wait", "2s")
    assert (answer.exit_code, answer.error["code"]) == (6, "database.unreachable")
    assert message in answer.error["message"]
    assert len(answer.named("waiting_for_database")) >= 1
    assert server.logins >= 2
    assert "hidden-word" not in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("sqlstate", "message", "exit_code", "code"),
    [
        ("28P01", 'ユーザー"someone"のパスワード認証に失敗しました', 2, "database.credentials"),
        ("28000", 'ロール"someone"は存在しません', 2, "database.credentials"),
        ("42501", "権限がありません", 2, "database.credentials"),
        ("0A000", "このプロトコルはサポートされていません", 2, "database.credentials"),
        ("3D000", 'データベース"words"は存在しません', 6, "database.absent"),
    ],
)
def test_c06_a_server_that_speaks_another_language_refuses_at_once(
    operator: Operator, sqlstate: str, message: str, exit_code: int, code: str
) -> None:
    with refusing_server(sqlstate, message, after_password=True) as server:
        operator.url = f"postgresql://someone:hidden-word@127.0.0.1:{server.port}/words"
        answer = operator.run("check")
        assert (answer.exit_code, answer.error["code"]) == (exit_code, code)
        assert message in answer.error["message"] or code == "database.absent"
        assert server.logins == 2  # once for the text, once for the SQLSTATE
    assert "hidden-word" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("login", ["postgres:wr0ng-secret", "postgres", "nobody-here:wr0ng-secret"])
def test_c06_a_wrong_password_no_password_and_an_unknown_role_end_at_once(
    operator: Operator, running_password_server: PasswordServer, login: str
) -> None:
    address = running_password_server.address
    url = f"postgresql://{login}@{address.host}:{address.port}/postgres"
    assert_refused_at_once(operator, url, "database.credentials")


def test_c06_a_server_without_tls_ends_at_once(operator: Operator, running_password_server: PasswordServer) -> None:
    url = running_password_server.address.url() + "?sslmode=require"
    answer = assert_refused_at_once(operator, url, "database.credentials")
    assert "TLS" in answer


@pytest.mark.parametrize(
    "url",
    [
        "mysql://postgres:wr0ng-secret@127.0.0.1/words",
        "postgresql://postgres:wr0ng-secret@127.0.0.1:notaport/words",
        "postgresql://postgres:wr0ng-secret@127.0.0.1:99999/words",
        "postgresql://postgres:wr0ng-secret@127.0.0.1/words?wr0ng-secret=1",
        "postgresql://postgres:wr0ng-secret@127.0.0.1/words?sslmode=sometimes",
        "postgresql://postgres:wr0ng-secret@127.0.0.1/words?connect_timeout=soon",
        "wr0ng-secret",
    ],
)
def test_c06_a_bad_url_ends_at_once(operator: Operator, url: str) -> None:
    assert_refused_at_once(operator, url, None)


def assert_refused_at_once(operator: Operator, url: str, code: str | None) -> str:
    """Exit 2, one sentence, within the time of one attempt, nothing secret; gives the sentence."""
    operator.url = url
    began = time.monotonic()
    answer = operator.deploy("--wait", "30s")
    assert time.monotonic() - began < 5
    assert answer.exit_code == 2, answer.stderr
    assert code is None or answer.error["code"] == code
    assert answer.named("waiting_for_database") == []
    assert "Traceback" not in answer.stderr
    assert "\n" not in answer.error["message"]
    assert answer.error["remedy"]
    assert "wr0ng-secret" not in answer.stdout + answer.stderr
    return str(answer.error["message"])


def test_c06_a_password_of_any_printable_characters_works(
    operator: Operator, running_password_server: PasswordServer
) -> None:
    from urllib.parse import quote

    printable = "".join(map(chr, range(32, 127)))
    address = running_password_server.address
    with psycopg.connect(address.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS printable")
        connection.execute(sql.SQL("CREATE ROLE printable LOGIN SUPERUSER PASSWORD {}").format(sql.Literal(printable)))
    schema = "?schema=printable"
    for password in (quote(printable, safe=""), printable.replace("%", "%25")):
        operator.url = f"postgresql://printable:{password}@{address.host}:{address.port}/postgres{schema}"
        answer = operator.deploy()
        assert answer.exit_code == 0, answer.stderr
        assert "printable@127.0.0.1" in answer.named("connected")[0]["server"]


def test_d32_a_server_that_restarts_undoes_the_migration_and_the_next_deploy_converges(tmp_path: Path) -> None:
    with password_server() as server:
        server.start()
        operator = Operator(server.address.url("words"), tmp_path / "migrations")
        operator.write(ONE, "CREATE TABLE one (id int);\nSELECT pg_sleep(30);")
        operator.sum()
        process = operator.start("deploy")
        maintenance = Operator(server.address.url(), operator.folder)
        asleep = (
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(30)' AND application_name LIKE 'michi%%'"
        )
        wait_until(lambda: maintenance.query(asleep), "the deploy")
        server.stop()
        answer = finish(process)
        assert (answer.exit_code, answer.error["code"]) == (6, "database.connection_lost")
        server.start()
        assert not operator.exists("one")
        operator.write(ONE, "CREATE TABLE one (id int);")
        operator.sum()
        assert operator.deploy().exit_code == 0
        assert operator.ledger() == [(ONE, "applied")]
