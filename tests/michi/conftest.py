"""An operator with a fresh database and an empty folder; a server that takes passwords, for what needs TCP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import url_of_database
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
