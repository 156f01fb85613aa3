"""An operator with a fresh database and an empty folder; a server that takes passwords, for what needs TCP."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import url_of_database
from tests.support.author import Author
from tests.support.operator import Operator
from tests.support.servers import PasswordServer, password_server


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    folder = tmp_path / "migrations"
    folder.mkdir()
    return Operator(database_url, folder)


@pytest.fixture(scope="module")
def module_url(server_url: str) -> Iterator[str]:
    """A database for all tests of a file, which only look at it."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY FILE_COPY".encode())
        yield url_of_database(server_url, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def running_password_server() -> Iterator[PasswordServer]:
    with password_server() as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def shared_shadow(server_url: str) -> Iterator[str]:
    """A database for SHADOW_DATABASE_URL, which spares each run the making of its own."""
    name = f"shadow_of_tests_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            yield url_of_database(server_url, name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def author(database_url: str, shared_shadow: str, tmp_path: Path) -> Author:
    made = Author.at(database_url, tmp_path / "project")
    made.environment["SHADOW_DATABASE_URL"] = shared_shadow
    return made
