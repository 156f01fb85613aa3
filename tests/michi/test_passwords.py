"""A password of every printable ASCII character, through every way of giving it: it works, and no part of it is shown."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.support.operator import Answer, Operator, finish, wait_until
from tests.support.servers import PasswordServer, free_port

ROLE = "keeper"
ONE = "20260101000000_one"
PART = 6
# In an order in which no part of it stands in any other text by chance.
ALPHABET = string.ascii_letters + string.digits + string.punctuation + " "
PASSWORD = "".join(random.Random(5).sample(ALPHABET, len(ALPHABET)))
WRONG = "".join(random.Random(6).sample(ALPHABET, len(ALPHABET)))


@dataclass(frozen=True)
class Login:
    """What an operator knows, and a folder for what is given as files."""

    password: str
    port: int
    database: str
    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{self.database}"

    @property
    def parts(self) -> dict[str, str]:
        return {
            "DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": str(self.port), "DATABASE_NAME": self.database,
            "DATABASE_USER": ROLE,
        }  # fmt: skip

    def file(self, name: str, content: str) -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content + "\n")
        return str(path)

    def secret_dir(self) -> dict[str, str]:
        names = {
            "host": "127.0.0.1", "port": str(self.port), "dbname": self.database, "username": ROLE,
            "password": self.password,
        }  # fmt: skip
        for name, content in names.items():
            self.file(f"secret/{name}", content)
        return {"DATABASE_SECRET_DIR": str(self.folder / "secret")}


WAYS: dict[str, Callable[[Login], dict[str, str]]] = {
    "url": lambda login: {"DATABASE_URL": login.url},
    "url_file": lambda login: {"DATABASE_URL_FILE": login.file("url", login.url)},
    "migration_url": lambda login: {"MIGRATION_DATABASE_URL": login.url},
    "migration_url_file": lambda login: {"MIGRATION_DATABASE_URL_FILE": login.file("url", login.url)},
    "parts": lambda login: login.parts | {"DATABASE_PASSWORD": login.password},
    "parts_file": lambda login: login.parts | {"DATABASE_PASSWORD_FILE": login.file("password", login.password)},
    "secret_dir": Login.secret_dir,
    "stdin": lambda login: {},
}


@pytest.fixture
def database(running_password_server: PasswordServer) -> Iterator[str]:
    """A database of the role whose password it is all about."""
    name = f"passwords_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(running_password_server.address.url(), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE keeper LOGIN PASSWORD {}").format(sql.Literal(PASSWORD)))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER keeper").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def environment(way: str, login: Login) -> dict[str, str]:
    """This way of giving the password, and no other; an empty setting counts as none."""
    return {"DATABASE_URL": ""} | WAYS[way](login)


def start(operator: Operator, way: str, login: Login, *options: str) -> subprocess.Popen[str]:
    """`michi deploy` as a shell starts it."""
    command = [sys.executable, "-m", "michi", "deploy", "--migrations", str(operator.folder), "--wait", "0s", *options]
    process = subprocess.Popen(
        [*command, "--database-url-stdin"] if way == "stdin" else command,
        env=operator.clean_environment | environment(way, login), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    if way == "stdin":
        process.stdin.write(login.url + "\n")
    process.stdin.close()
    process.stdin = None
    return process


def deploy(operator: Operator, way: str, login: Login) -> Answer:
    """The same to its end and with --json, without the cost of a new process where nothing is read from standard input."""
    if way == "stdin":
        return finish(start(operator, way, login, "--json"))
    return Operator(operator.url, operator.folder, environment(way, login)).deploy("--wait", "0s")


def parts_shown(text: str, *passwords: str) -> list[str]:
    """The parts of the passwords that stand in the text, as they are, percent-encoded, or escaped for JSON."""
    shown = []
    for password in passwords:
        for form in (password, quote(password, safe=""), json.dumps(password)[1:-1]):
            shown += [form[at : at + PART] for at in range(len(form) - PART + 1) if form[at : at + PART] in text]
    return shown


def command_lines() -> str:
    """What `ps` shows of every process, the server's titles among them."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended
    return "\n".join(lines)


def test_the_password_holds_every_printable_character_once() -> None:
    assert sorted(PASSWORD) == sorted(WRONG) == [chr(code) for code in range(32, 127)]


def test_a_part_that_is_shown_would_be_seen() -> None:
    assert parts_shown(f"login as {PASSWORD[40:46]}", PASSWORD)
    assert parts_shown(quote(PASSWORD, safe=""), PASSWORD)
    assert parts_shown(json.dumps({"url": PASSWORD}), PASSWORD)


@pytest.mark.parametrize("way", WAYS)
def test_the_login_works_and_nothing_shows_the_password(
    operator: Operator, running_password_server: PasswordServer, database: str, tmp_path: Path, way: str
) -> None:
    login = Login(PASSWORD, running_password_server.port, database, tmp_path)
    operator.write(ONE, "SELECT pg_advisory_xact_lock(4711);\nCREATE TABLE one (id int);")
    operator.write("20260102000000_two", "SELECT no_such_column;")
    operator.sum()
    with psycopg.connect(running_password_server.address.url(database), autocommit=True) as bystander:
        bystander.execute("SELECT pg_advisory_lock(4711)")
        process = start(operator, way, login)
        waiting = (
            "SELECT string_agg(a::text, ' ') FROM pg_stat_activity a WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() HAVING bool_or(query LIKE '%4711%')"
        )
        activity = wait_until(lambda: bystander.execute(waiting).fetchone(), "the deploy in its first migration")
        processes = command_lines()
        bystander.execute("SELECT pg_advisory_unlock(4711)")
        told = finish(process)
        again = deploy(operator, way, login)
        rows = bystander.execute("SELECT l::text FROM _michi_ledger l ORDER BY id").fetchall()
    assert [told.exit_code, again.exit_code] == [7, 7], told.stderr + again.stderr
    assert again.error["code"] == "migration.failed"
    assert [ONE in row[0] for row in rows] == [True, False, False]
    assert f"{ROLE}@127.0.0.1:{login.port}/{database}" in told.stderr
    assert "michi deploy" in processes
    everything = [activity[0], processes, *(row[0] for row in rows)]
    everything += [answer.stdout + answer.stderr for answer in (told, again)]
    assert [parts_shown(text, PASSWORD) for text in everything] == [[]] * len(everything)


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_password_and_an_absent_server_show_nothing_of_it(
    operator: Operator, running_password_server: PasswordServer, database: str, tmp_path: Path, way: str
) -> None:
    refused = Login(WRONG, running_password_server.port, database, tmp_path)
    absent = Login(PASSWORD, free_port(), database, tmp_path)
    expected = {refused: (2, "database.credentials"), absent: (6, "database.unreachable")}
    for login, (exit_code, code) in expected.items():
        answer = deploy(operator, way, login)
        assert (answer.exit_code, answer.error["code"]) == (exit_code, code), answer.stderr
        assert f"{ROLE}@127.0.0.1:{login.port}/{database}" in answer.stderr
        assert parts_shown(answer.stdout + answer.stderr, PASSWORD, WRONG) == []
